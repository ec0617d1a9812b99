"""Common to the roles: signals, giving up root, and reporting that they are ready."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from doorward.runtime.preloading import keep_what_is_loaded, preload_all
from doorward.runtime.privileges import Account, Capability, drop, shed

READY_VARIABLE = "DOORWARD_READY_FD"

SWITCH_SECONDS = 0.0005
"""How long a thread of the door may keep the interpreter while others wait for it. Cutting connections makes many short system
calls, and after each of them the thread waits for its turn: with Python's 5 ms that took up to 135 ms for 2 ms of work."""


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def become_ordinary(
    account: Account | None,
    *,
    keep: frozenset[Capability],
    hand_down: frozenset[Capability],
    never: Collection[str] = (),
) -> None:
    """Give up root for good if we have it, and in any case every capability but the named ones; then loading is over.

    Args:
        account: the user to become (`Installation.account`); None if we are not root.
        keep: as in `privileges.drop`.
        hand_down: the same.
        never: as in `preloading.preload_all`.
    """
    if account is None:
        shed(keep=keep, hand_down=hand_down)
    else:
        preload_all(never)
        drop(account, keep=keep, hand_down=hand_down)
    keep_what_is_loaded()


def take_short_turns() -> None:
    """Let the threads of this process take turns in the interpreter at short intervals."""
    sys.setswitchinterval(SWITCH_SECONDS)


class SignalledEvent(threading.Event):
    """An event that a signal handler may set while the same thread waits for it.

    `threading.Event` takes a lock in `set`. If a signal arrives while `wait` has this lock, the handler waits for it for
    ever, and the process cannot be stopped. This event is a byte in a pipe, and takes no lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, for good; the byte stays in the pipe, so that every later wait returns at once."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writing, b"s")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; return whether it is."""
        waiting = select.poll()
        waiting.register(self._reading, select.POLLIN)
        waiting.poll(None if timeout is None else max(0.0, timeout) * 1000)
        return self._is_set

    def close(self) -> None:
        """Close the pipe; the event cannot be used any more."""
        os.close(self._reading)
        os.close(self._writing)


@contextmanager
def stopping(at_once: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; the second signal ends the process at once.

    Args:
        at_once: called before that end.
    """
    stop = SignalledEvent()

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            at_once()
            os._exit(128 + number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def say_ready() -> None:
    """Tell the process that started us that we are ready: one line on the descriptor in DOORWARD_READY_FD."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if descriptor.isascii() and descriptor.isdigit():
        with suppress(OSError):  # the process that started us may be gone; the door opens anyway
            os.write(int(descriptor), b"ready\n")
            os.close(int(descriptor))
