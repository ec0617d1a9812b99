"""Precedence of urgent work over work that can wait a moment, among the threads of one process.

Python runs one thread at a time, and each in its turn: beside sixteen busy threads, 20 ms of work take 300 ms. So while
live connections are compared with a new policy or with new groups, the threads that judge one connection at a time begin no
other judgement: a withdrawal takes effect sooner, and a judgement that waited for it is made by the new state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_SECONDS = 0.2
"""How long other work waits at most for one block: urgent work that takes seconds does not close the door."""


class Precedence:
    """One thread takes it; all others may give way. Safe between threads."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self._until = 0.0  # when other work goes on also if the block has not ended, in monotonic seconds

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Let other work wait while the block runs, for `LONGEST_SECONDS` at most. One thread at a time; not nested."""
        self._until = time.monotonic() + LONGEST_SECONDS
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def give_way(self) -> None:
        """Wait for urgent work that began less than `LONGEST_SECONDS` ago; return at once if there is none."""
        if not self._free.is_set():
            self._free.wait(max(0.0, self._until - time.monotonic()))
