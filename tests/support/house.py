"""A whole Doorward as people run it: the processes of `doorward up`, for tests that kill, starve or time them.

with open_house() as house:
    alice = house.person("alice", "staff")      # everything that a `Doorway` has
    os.kill(house.pid("gateway"), signal.SIGKILL)
    house.wait_for_pid("gateway")               # `up` starts another

Not here: a door within the test's own process (doorway), which shares an interpreter with the clients.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.doorway import Doorway, eventually, founded, parts_of
from tests.support.upstream import running_upstream

ROOT = Path(__file__).parents[2]
WITHOUT_NET_ADMIN = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
"""Root's programs get every capability of the bounding set: a process started by this cannot get that one."""

START_SECONDS = 300.0
"""As long as `up` itself waits for a part; usually five."""

STOP_SECONDS = 120.0


@dataclass(slots=True, kw_only=True)
class House(Doorway):
    """A `Doorway` with its parts as processes. `gateway` of the base is not there: it is another process's."""

    data: Path
    prefix: tuple[str, ...] = ()
    interpreter: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    parent: subprocess.Popen[bytes] | None = None
    log: Path = Path()

    def start(self, *, seconds: float = START_SECONDS) -> None:
        """Run `doorward up` and return when it says that the door is open."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        with self.log.open("ab") as log:
            self.parent = subprocess.Popen(
                [*self.prefix, self.interpreter, "-m", "doorward.cli", "up", "--data", str(self.data)],
                env={**environment, "PYTHONPATH": str(ROOT / "src"), **self.environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        _expect_line(self.parent, seconds, self.log)

    def stop(self) -> int:
        """Ask `doorward up` to end, as systemd does; return its exit status."""
        assert self.parent is not None
        self.parent.send_signal(signal.SIGTERM)
        try:
            return self.parent.wait(STOP_SECONDS)
        finally:
            self.clear()

    def clear(self) -> None:
        """End the remaining processes of this house, by its own process ids."""
        if self.parent is None:
            return
        if self.parent.poll() is None:
            self.parent.kill()
        for pid in self.processes():
            _end(pid)
        self.parent.wait(5)
        assert self.parent.stdout is not None
        self.parent.stdout.close()
        self.parent = None

    def processes(self) -> dict[int, Sequence[str]]:
        """Return every process with this house's data in its command line: process id and words."""
        return {
            pid: words
            for pid, words in command_lines()
            if pid != os.getpid() and any(str(self.data) in one for one in words)
        }

    def pid(self, part: str) -> int:
        """Return the process of `serve`, `gateway`, or the newest `envoy`; 0 if there is none."""
        if part == "envoy":
            found = [(words[words.index("--log-path") + 1], pid) for pid, words in self.envoys().items()]
            return max(found)[1] if found else 0
        return next((pid for pid, words in self.processes().items() if part in words), 0)

    def envoys(self) -> dict[int, Sequence[str]]:
        """Return every Envoy of this house, those that drain included."""
        return {pid: words for pid, words in self.processes().items() if "--log-path" in words}

    def envoy_folder(self) -> Path:
        """Return the folder of the newest Envoy's run."""
        words = self.processes()[self.pid("envoy")]
        return Path(words[words.index("--log-path") + 1]).parent

    def wait_for_pid(self, part: str, *, other_than: int = 0, seconds: float = 10.0) -> int:
        """Wait until a part runs, as another process than before; return its id."""
        assert eventually(lambda: self.pid(part) not in (0, other_than), seconds), self.words()
        return self.pid(part)

    def gateway_status(self) -> str:
        """Return what the gateway said of itself last, JSON."""
        with self.services.work.read() as stores:
            return stores.gateways.list()[0].status

    def words(self) -> str:
        """Return the end of what the processes said."""
        return self.log.read_text(errors="replace")[-4000:]


@contextmanager
def open_house(
    *,
    without_net_admin: bool = False,
    settings: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    interpreter: str = sys.executable,
    started: bool = True,
) -> Iterator[House]:
    """Found an installation, run `doorward up` on it, and end all of it at the end.

    Args:
        without_net_admin: start it so that no process of it can have CAP_NET_ADMIN.
        settings: settings that differ from the tests' own; they are written to the installation's file.
        environment: more variables for the processes.
        interpreter: the Python that runs it, with the packages that belong to it.
        started: whether it runs already.
    """
    with running_upstream() as upstream, founded(**(settings or {})) as installation:
        house = House(
            **parts_of(installation, upstream),
            gateway=None,  # type: ignore[arg-type]
            data=installation.layout.data,
            prefix=WITHOUT_NET_ADMIN if without_net_admin and os.geteuid() == 0 else (),
            interpreter=interpreter,
            environment={"DOORWARD_GATEWAY_WORKERS": "1", **(environment or {})},
            log=installation.layout.data.parent / "up.log",
        )
        try:
            if started:
                house.start()
            yield house
        finally:
            house.clear()


def command_lines() -> Iterator[tuple[int, Sequence[str]]]:
    """Yield every process of the machine: its id and its words."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            yield int(entry.name), [os.fsdecode(one) for one in words]


def _expect_line(process: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    """Wait for the first line on standard output; its children have it open too, so its end may never be read."""
    assert process.stdout is not None
    ready = select.select([process.stdout], [], [], seconds)[0]
    assert ready, f"not ready after {seconds:g} s: {log.read_text(errors='replace')[-4000:]}"
    assert process.stdout.readline(), log.read_text(errors="replace")[-4000:]


def _end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(descriptor)
