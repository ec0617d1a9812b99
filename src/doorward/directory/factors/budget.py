"""How many password hashes are made at once: two, and a few wait, by turns between their sources.

A hash takes 64 MiB for a tenth of a second, so what is not bounded would take all memory. Two at once are 128 MiB. When
many wait, sources take turns, so that one address with many tries does not delay another. Beyond the bound a try is
answered with `too-busy`, is not counted, and works a little later.
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
"""With those that run, about three seconds of work."""

WAITING_PER_SOURCE = 4
LONGEST_WAIT_SECONDS = 10.0


class HashBudget:
    """The places of one process; safe between threads."""

    def __init__(
        self, *, at_once: int = AT_ONCE, waiting: int = WAITING, seconds: float = LONGEST_WAIT_SECONDS
    ) -> None:
        self._changed = threading.Condition()
        self._free = at_once
        self._waiting = waiting
        self._seconds = seconds
        self._queues: OrderedDict[str, deque[object]] = OrderedDict()

    def run(self, source: str, work: Callable[[], T]) -> T:
        """Run the work in one of the places, and wait for one if need be.

        Args:
            source: the address that the turn is counted for.
            work: makes one hash.

        Raises:
            Unavailable: `too-busy`: too many wait, or it took too long.
        """
        self._enter(source)
        try:
            return work()
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def count_waiting(self) -> int:
        """Return how many wait for a place."""
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
        """The first of the source that waits longest for its turn is next."""
        return bool(self._free) and next(iter(self._queues.values()))[0] is ticket


def _too_busy() -> Unavailable:
    return Unavailable(
        "too-busy", "too many passwords are being checked at this moment", hint="try again in a few seconds"
    )
