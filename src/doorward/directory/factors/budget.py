"""The limit for password hashes: two run at once, a few wait, and the network addresses take turns.

A hash takes 64 MiB for a tenth of a second, so unlimited hashing would use all memory; two take 128 MiB. If many calls wait,
addresses take turns, so that one address with many tries does not delay another. Beyond the limit a try gets `too-busy`, is
not counted, and can be repeated a little later.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from doorward.core.errors import Unavailable

T = TypeVar("T")

AT_ONCE = 2
WAITING = 32
"""With the running ones, about three seconds of work."""

WAITING_PER_SOURCE = 4
LONGEST_WAIT_SECONDS = 10.0


class HashBudget:
    """The limit of one process; safe between threads."""

    def __init__(
        self, *, at_once: int = AT_ONCE, waiting: int = WAITING, seconds: float = LONGEST_WAIT_SECONDS
    ) -> None:
        self._changed = threading.Condition()
        self._free = at_once
        self._waiting = waiting
        self._seconds = seconds
        self._queues: OrderedDict[str, deque[object]] = OrderedDict()

    def run(self, source: str, work: Callable[[], T]) -> T:
        """Run the work when fewer than two others run.

        Args:
            source: the network address; addresses take turns.
            work: makes one hash.

        Raises:
            Unavailable: `too-busy`: too many calls wait, or this one waited too long.
        """
        self._enter(source)
        try:
            return work()
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def count_waiting(self) -> int:
        """Return how many calls wait."""
        with self._changed:
            return sum(map(len, self._queues.values()))

    def _enter(self, source: str) -> None:
        ticket = object()
        with self._changed:
            if self._free and not self._queues:
                self._free -= 1
                return
            mine = self._queues.get(source, deque())
            if len(mine) >= WAITING_PER_SOURCE or sum(map(len, self._queues.values())) >= self._waiting:
                raise _too_busy()
            mine.append(ticket)
            self._queues[source] = mine
            came = self._changed.wait_for(lambda: self._is_next(ticket), timeout=self._seconds)
            mine.remove(ticket)
            if not mine:
                del self._queues[source]
            if not came:
                raise _too_busy()
            self._free -= 1
            if mine:
                self._queues.move_to_end(source)
            self._changed.notify_all()

    def _is_next(self, ticket: object) -> bool:
        """Say whether this call is next: the first of the address that waits longest for its turn."""
        return bool(self._free) and next(iter(self._queues.values()))[0] is ticket


def _too_busy() -> Unavailable:
    return Unavailable(
        "too-busy", "too many passwords are being checked at this moment", hint="try again in a few seconds"
    )
