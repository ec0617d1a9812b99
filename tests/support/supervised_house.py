"""A folder with a small door of Envoy's, watched by supervisors, and what they tell."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from doorward.demo.ports import free_port
from doorward.gateway.envoy.process import find_by_argument
from doorward.gateway.envoy.program import LOG_ARGUMENT, EnvoyOptions, locate_envoy
from doorward.gateway.envoy.supervisor import Supervisor
from doorward.runtime.world import SystemClock
from tests.support.little_door import LittleDoor, ask, echo_server


class SupervisedHouse:
    """One folder and one door, supervised any number of times."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder = folder
        self.door = LittleDoor(folder, port=free_port(), upstream_port=upstream)
        self.made: list[Supervisor] = []
        self.started: list[int] = []
        self.died: list[tuple[int, int | None]] = []
        self.killed: list[tuple[int, int | None, float]] = []

    def supervisor(self, *, drain_seconds: int = 30, **changed: object) -> Supervisor:
        """Another supervisor of this folder."""
        options = EnvoyOptions(
            folder=self.folder / "envoy", binary=locate_envoy(), concurrency=1, drain_seconds=drain_seconds
        )
        arguments: dict[str, object] = {
            "prepare": self.door.prepare,
            "clock": SystemClock(),
            "listeners": lambda: [self.door.listener],
            "on_started": lambda _pid, epoch: self.started.append(epoch),
            "on_died": lambda _pid, epoch, status, _seconds: self.died.append((epoch, status)),
            "on_killed": lambda _pid, *told: self.killed.append(told),
        }
        one = Supervisor(options, **{**arguments, **changed})  # type: ignore[arg-type]
        self.made.append(one)
        return one


@contextmanager
def supervised_house(folder: Path) -> Iterator[SupervisedHouse]:
    """Yield a house; each of its Envoys is ended afterwards."""
    with echo_server() as upstream:
        made = SupervisedHouse(folder, upstream)
        try:
            yield made
        finally:
            made.door.close_clients()
            for one in made.made:
                one.stop()
            for process, _ in find_by_argument(LOG_ARGUMENT, folder / "envoy"):
                process.send(signal.SIGKILL)
                process.close()


def soon(condition: Callable[[], object], seconds: float = 60.0) -> float:
    """Wait until a condition holds; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - started


def dies(supervisor: Supervisor) -> None:
    """Do to a supervisor what a crash of the gateway does: nothing watches Envoy any more, and it goes on."""
    supervisor._end_watch()
    for run in supervisor._runs:
        run.process.close()
    supervisor._runs = ()


def answers(house: SupervisedHouse) -> bool:
    """Whether the door lets a new connection in."""
    with suppress(OSError):
        return b"200" in ask(house.door.connect())
    return False
