"""A queue of timers by the wall clock, one for each connection: which are due, and when the next one is due.

A moment is compared with the clock each time and never turned into a delay, because the clock may be set.

Not here: what is done when a timer is due (registry, reconciler, follower). Not safe between threads: the caller holds
the registry's lock.
"""

from __future__ import annotations

import heapq
from datetime import datetime

_SPARE = 1024


class TimerQueue:
    """One moment for each cookie; the last one set counts."""

    def __init__(self) -> None:
        self._at: dict[int, datetime] = {}
        self._heap: list[tuple[datetime, int]] = []

    def set(self, cookie: int, at: datetime | None) -> None:
        """Set the moment of a cookie; None removes it."""
        if at is None:
            self._at.pop(cookie, None)
            return
        if self._at.get(cookie) == at:
            return
        self._at[cookie] = at
        heapq.heappush(self._heap, (at, cookie))
        # Removed and replaced entries stay in the heap until their time; this limits how many there can be.
        if len(self._heap) > _SPARE + 4 * len(self._at):
            self._heap = [(at, cookie) for cookie, at in self._at.items()]
            heapq.heapify(self._heap)

    def __len__(self) -> int:
        """Return how many entries the heap has, removed and replaced ones included."""
        return len(self._heap)

    def take(self, now: datetime) -> list[int]:
        """Remove and return the cookies that are due, earliest first."""
        found = []
        while (first := self.first()) is not None and first <= now:
            _, cookie = heapq.heappop(self._heap)
            del self._at[cookie]
            found.append(cookie)
        return found

    def first(self) -> datetime | None:
        """Return the earliest moment; None if there is none."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
