"""Stopping a program that runs until SIGTERM, Ctrl-C or the end of its terminal (SIGHUP): the signals set an event for which every thread may wait.

Python runs a signal handler in the main thread, and only between two steps of its bytecode. Two things can go wrong:

- `threading.Event` takes a lock in `set`. If a signal arrives while `wait` has this lock, the handler waits for it for ever.
- A signal may arrive just before the main thread begins a system call, or the kernel may give it to another thread. Then the
  system call goes on. If it has no timeout, the handler never runs, and the process seems to ignore the signal.

So the event is a byte on a socket and takes no lock. While the main thread waits, it also waits for another byte: Python writes
it as soon as a signal arrives, before the handler runs (`signal.set_wakeup_fd`). Sockets, not pipes: Windows can wait for
nothing else.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""select(2) fails if a process has more than 1,024 files open; Windows has nothing else."""

_HANGUP = getattr(signal, "SIGHUP", None)
"""Windows has none. If a terminal is closed, shell and kernel may both send it, so it does not count as a first or second signal."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, *([_HANGUP] if _HANGUP else []))


class SignalledEvent(threading.Event):
    """An event that a signal handler may set, whatever the main thread does. Only `stopping` makes one."""

    def __init__(self) -> None:
        super().__init__()
        self._set_reader, self._set_writer = socket.socketpair()
        self._signal_reader, self._signal_writer = socket.socketpair()
        for one in (self._signal_reader, self._signal_writer):
            one.setblocking(False)  # noqa: FBT003  its only form
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, for good. Its byte is never read, so every later wait returns at once."""
        if not self._is_set:
            self._is_set = True
            self._set_writer.send(b"s")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; return whether it is."""
        if self._is_set:  # also after `close`: a thread may outlive the stop
            return True
        ends_at = None if timeout is None else time.monotonic() + timeout
        with _Selector() as waiting:
            waiting.register(self._set_reader, selectors.EVENT_READ)
            is_main = threading.current_thread() is threading.main_thread()
            if is_main:
                waiting.register(self._signal_reader, selectors.EVENT_READ)
            while not self._is_set:
                if not waiting.select(None if ends_at is None else max(0.0, ends_at - time.monotonic())):
                    break
                if is_main:
                    with suppress(BlockingIOError):  # Python runs the handler before the next pass
                        self._signal_reader.recv(64)
        return self._is_set

    def signal_descriptor(self) -> int:
        """Return the descriptor to which Python shall write a byte as soon as a signal arrives."""
        return self._signal_writer.fileno()

    def close(self) -> None:
        """Close the sockets. If the event is not set, no thread can wait for it any more."""
        for one in (self._set_reader, self._set_writer, self._signal_reader, self._signal_writer):
            one.close()


@contextmanager
def stopping(at_once: Callable[[], None] | None = lambda: None) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM, SIGINT and SIGHUP set; a second SIGTERM or SIGINT ends the process at once.

    For the main thread only. Under nohup(1), SIGHUP stays ignored.

    Args:
        at_once: called before that end; None if a second signal changes nothing.
    """
    stop = SignalledEvent()
    came = False

    def on_signal(number: int, _frame: object) -> None:
        nonlocal came
        if number != _HANGUP:
            if came and at_once is not None:
                at_once()
                os._exit(128 + number)
            came = True  # not `stop.is_set()`: a program that ends for another reason sets it too
        stop.set()

    former_descriptor = signal.set_wakeup_fd(stop.signal_descriptor(), warn_on_full_buffer=False)
    former_handlers = {
        number: signal.signal(number, on_signal)
        for number in _SIGNALS
        if number != _HANGUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in former_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_descriptor)
        stop.close()
