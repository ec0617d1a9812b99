"""Moments by the wall clock, one for each connection: which have come, and when the next one comes.

They are compared with the clock each time, and never turned into a delay: a clock may be set.

Not here: what is done then (registry, reconciler, follower). Not safe between threads: the registry's lock holds.
"""

from __future__ import annotations

import heapq
from datetime import datetime

_SPARE = 1024


class TimerQueue:
    """A moment for each cookie; the newest counts."""

    def __init__(self) -> None:
        self._at: dict[int, datetime] = {}
        self._heap: list[tuple[datetime, int]] = []

    def set(self, cookie: int, at: datetime | None) -> None:
        """Set the moment of a cookie; None takes it away."""
        if at is None:
            self._at.pop(cookie, None)
            return
        if self._at.get(cookie) == at:
            return
        self._at[cookie] = at
        heapq.heappush(self._heap, (at, cookie))
        # What was taken away or set again stays in the heap until its time; this bounds what that can cost.
        if len(self._heap) > _SPARE + 4 * len(self._at):
            self._heap = [(at, cookie) for cookie, at in self._at.items()]
            heapq.heapify(self._heap)

    def __len__(self) -> int:
        """Return how many entries are held, also those that count no more."""
        return len(self._heap)

    def take(self, now: datetime) -> list[int]:
        """Return the cookies of which the moment has come, earliest first, and take them away."""
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
