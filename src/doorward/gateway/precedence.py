"""Precedence of urgent work over work that can wait a moment, among the threads of one process.

Python runs one thread at a time, and each in its turn: beside sixteen busy threads, 20 ms of work take 300 ms. So while
connections are compared with a new policy, the threads that judge one connection at a time begin no other judgement: a
withdrawal takes effect sooner, and a judgement that waited for it is made under the new policy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_SECONDS = 0.2
"""How long other work waits at most: also a comparison of very many connections does not close the door."""


class Precedence:
    """One thread takes it; all others may give way. Safe between threads."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Let other work wait while the block runs."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def give_way(self) -> None:
        """Wait for urgent work, at most `LONGEST_SECONDS`; return at once if there is none."""
        self._free.wait(LONGEST_SECONDS)
