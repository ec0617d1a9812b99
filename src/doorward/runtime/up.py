"""`doorward up`: a small parent that runs and restarts `serve` and `gateway` on this machine.

If a role does not become ready at the start, `up` ends too. A role that ends later is started again within a second, with
growing pauses while it keeps failing. If only `up` is killed, both roles go on; the next `up` ends each of them when it is about
to start its own (docs/design/0113). Not here: what the two roles do, how those processes are found (`children_record`).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

import structlog

from doorward.core.errors import Unavailable
from doorward.core.pauses import double_pause
from doorward.gateway.envoy.process import Orphan, end_process
from doorward.runtime.children_record import ChildrenRecord
from doorward.runtime.layout import Layout
from doorward.runtime.roles import READY_VARIABLE
from doorward.runtime.settings import Settings

ROLES = ("serve", "gateway")
READY_SECONDS = 300.0
"""How long a role may take to become ready; a first start with a thousand applications takes about 20 s on an idle machine."""

GRACE_SECONDS = 12.0
SETTLED_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 10.0
_FIRST_PAUSE = timedelta(seconds=2)
_READY_TICK_SECONDS = 0.1
_WATCH_TICK_SECONDS = 0.5

_log = structlog.get_logger("doorward.up")


@dataclass(slots=True)
class _Child:
    role: str
    process: subprocess.Popen[bytes]
    began: float
    failures: int = 0
    retry_at: float = field(default=0.0)


class Up:
    """The parent; `start`, `watch` until `stop` is set, then `end`.

    Args:
        settings: of the installation; the children read its settings file.
        environment: variables for the children beside our own.
    """

    def __init__(self, settings: Settings, *, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._settings = settings
        self._environment = environment
        self._children: dict[str, _Child] = {}
        self._record = ChildrenRecord(Layout(settings.data).children)
        self._left: dict[str, Orphan] = {}

    def pids(self) -> dict[str, int]:
        """Return the process of each role."""
        return {role: child.process.pid for role, child in self._children.items()}

    def start(self, stop: threading.Event | None = None) -> bool:
        """Start both roles, one after the other, and wait until they are ready.

        What an `up` that was killed has left of a role is ended just before this role is started, so the door is closed no
        longer than while one gateway replaces another.

        Args:
            stop: if it is set meanwhile, the roles that were started are ended.

        Returns:
            Whether they are ready; False if `stop` was set.

        Raises:
            Unavailable: `role-failed` if one ended before it was ready, `role-not-ready` if one took too long; its own log
                went to standard error.
        """
        stop = stop or threading.Event()
        self._left = self._record.find()
        try:
            for role in ROLES:
                self._end_left(role)
                reading, writing = os.pipe()
                try:
                    child = self._children[role] = _Child(role, self._launch(role, writing), time.monotonic())
                    self._store_children()
                    os.close(writing)
                    writing = -1
                    ready = _await_ready(child, reading, stop)
                finally:
                    os.close(reading)
                    if writing >= 0:
                        os.close(writing)
                if not ready:
                    for other in reversed(ROLES):
                        self._end_left(other)
                    self.end()
                    return False
        except BaseException:
            self.end()
            raise
        return True

    def watch(self, stop: threading.Event, *, restarted: Callable[[str], None]) -> None:
        """Restart children that end, until `stop` is set."""
        while not stop.wait(_WATCH_TICK_SECONDS):
            for child in self._children.values():
                status = child.process.poll()
                if status is not None:
                    self._again(child, status, restarted)
                elif time.monotonic() - child.began > SETTLED_SECONDS:
                    child.failures = 0

    def _end_left(self, role: str) -> None:
        process = self._left.pop(role, None)
        if process is None:
            return
        _log.warning(
            "a process of a `doorward up` that was killed still runs, and is ended",
            part=role,
            pid=process.pid,
        )
        end_process(process, GRACE_SECONDS)
        process.close()

    def _store_children(self) -> None:
        """Record which processes run; without the record, the next `up` would only refuse, so this one goes on."""
        running = {
            role: child.process.pid
            for role, child in self._children.items()
            if child.process.returncode is None
        }
        try:
            self._record.store(running, left=self._left)
        except OSError as error:
            _log.warning("the record of running processes cannot be written", why=error.strerror)

    def end(self) -> None:
        """Ask the children to stop, gateway first, and wait for them."""
        for role in reversed(ROLES):
            child = self._children.get(role)
            if child is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                _log.error(
                    "a process did not stop in time and was killed",
                    part=role,
                    pid=child.process.pid,
                    hint="an Envoy of a killed gateway goes on with its connections: start Doorward again, or end it"
                    if role == "gateway"
                    else "",
                )
        self._store_children()

    def abandon(self) -> None:
        """Ask every child to stop, and do not wait: for a second signal."""
        for child in self._children.values():
            child.process.send_signal(signal.SIGTERM)

    def _again(self, child: _Child, status: int, restarted: Callable[[str], None]) -> None:
        now = time.monotonic()
        if not child.retry_at:
            child.failures += 1
            pause = pause_after(child.failures)
            child.retry_at = now + pause
            _log.error(
                "a process ended and will be started again",
                part=child.role,
                status=status,
                pause_seconds=pause,
            )
        if now < child.retry_at:
            return
        child.began, child.retry_at = now, 0.0
        try:
            child.process = self._launch(child.role)
        except OSError as error:  # out of memory or processes: try again later
            _log.error("a process cannot be started", part=child.role, why=error.strerror)
            return
        self._store_children()
        restarted(child.role)

    def _launch(self, role: str, ready: int | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self._environment}
        environment.pop(READY_VARIABLE, None)
        if ready is not None:
            environment[READY_VARIABLE] = str(ready)
        return subprocess.Popen(  # noqa: S603  our own program and arguments
            [sys.executable, "-P", "-m", "doorward.cli", role, "--data", str(self._settings.data)],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=() if ready is None else (ready,),
            start_new_session=True,
        )


def pause_after(failures: int) -> float:
    """Return the seconds to wait before a role is started again, after so many failures in a row."""
    if failures <= 1:
        return 0.0
    return double_pause(_FIRST_PAUSE, failures - 2, timedelta(seconds=LONGEST_PAUSE_SECONDS)).total_seconds()


def _await_ready(child: _Child, pipe: int, stop: threading.Event) -> bool:
    limit = time.monotonic() + READY_SECONDS
    while not select.select([pipe], [], [], _READY_TICK_SECONDS)[0]:
        if stop.is_set():
            return False
        if time.monotonic() > limit:
            raise Unavailable(
                "role-not-ready",
                f"`doorward {child.role}` was not ready after {READY_SECONDS:g} seconds",
                hint="read its log above: it says what it waits for",
            )
    if os.read(pipe, 6) == b"ready\n":
        return True
    try:
        status = str(child.process.wait(GRACE_SECONDS))
    except subprocess.TimeoutExpired:
        status = "unknown"
    raise Unavailable(
        "role-failed",
        f"`doorward {child.role}` did not start (status {status})",
        hint="read its error above",
    )
