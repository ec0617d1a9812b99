"""`doorward up`: a small parent that runs and restarts `serve` and `gateway` on this machine.

Not here: anything that the two do. A child that ends is started again within a second, with growing
pauses while it keeps failing; a child that cannot start because of its settings ends `up` as well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from doorward.core.errors import Unavailable
from doorward.runtime.settings import Settings

ROLES = ("serve", "gateway")
READY_SECONDS = 30.0
GRACE_SECONDS = 12.0
SETTLED_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 10.0

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

    def start(self) -> None:
        """Start both roles and wait until they are ready.

        Raises:
            Unavailable: `role-failed` where one ended before it was ready; its own words went to
                standard error.
        """
        try:
            for role in ROLES:
                self._children[role] = self._spawn(role)
        except BaseException:
            self.end()
            raise

    def watch(self, stop: threading.Event, *, restarted: Callable[[str], None]) -> None:
        """Start children again that end, until `stop` is set."""
        while not stop.wait(0.1):
            for child in self._children.values():
                status = child.process.poll()
                if status is None:
                    if time.monotonic() - child.began > SETTLED_SECONDS:
                        child.failures = 0
                    continue
                self._again(child, status, restarted)

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

    def _again(self, child: _Child, status: int, restarted: Callable[[str], None]) -> None:
        now = time.monotonic()
        if not child.retry_at:
            child.failures += 1
            pause = 0.0 if child.failures == 1 else min(LONGEST_PAUSE_SECONDS, 0.5 * 2**child.failures)
            child.retry_at = now + pause
            _log.error(
                "a part ended and is started again", part=child.role, status=status, pause_seconds=pause
            )
        if now >= child.retry_at:
            child.process, ready = self._launch(child.role)
            os.close(ready)
            child.began, child.retry_at = now, 0.0
            restarted(child.role)

    def _spawn(self, role: str) -> _Child:
        process, ready = self._launch(role)
        child = _Child(role=role, process=process, began=time.monotonic())
        self._children[role] = child
        with os.fdopen(ready, "rb") as pipe:
            if pipe.readline() != b"ready\n":
                raise Unavailable(
                    "role-failed",
                    f"`doorward {role}` did not start (status {process.wait(GRACE_SECONDS)})",
                    hint="it said why just above",
                )
        return child

    def _launch(self, role: str) -> tuple[subprocess.Popen[bytes], int]:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603  our own program and arguments
                [sys.executable, "-m", "doorward.cli", role, "--data", str(self._settings.data)],
                env={**os.environ, **self._environment, "DOORWARD_READY_FD": str(writing)},
                stdin=subprocess.DEVNULL,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        return process, reading
