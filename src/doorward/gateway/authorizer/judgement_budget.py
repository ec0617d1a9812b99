"""How much judging strangers may cost: seconds of processor time by source and in all.

Not here: judging (`access.deciding`). A certificate that is not in the inventory can be made so that its judgement
takes tens of milliseconds, and all doors share the processor. So what judging costs is measured, and what
did not turn out good is charged to its source (one IPv4 address, or one IPv6 /64) and to all strangers
together. If a budget is used up, a certificate that is not in the inventory is refused without being
judged. Certificates that are known, and strangers that turn out good, cost nothing here: an office full of
people with new certificates is let in, and a flood from elsewhere keeps out no holder of a known one.

Charged afterwards: one source can overdraw by what is judged at the same time, which the threads of the
authorizer bound.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from doorward.core.ports import Clock

SOURCE_RATE, SOURCE_BURST = 0.05, 1.0
"""Processor seconds for each second, and at once: 25 judgements of 40 ms, then about one a second."""

TOTAL_RATE, TOTAL_BURST = 0.25, 2.0
"""A quarter of one processor for all strangers together."""

MOST_SOURCES = 4_096
"""Sources with a bucket of their own; the others share one."""

_OTHERS = b""


@dataclass(slots=True)
class _TokenBucket:
    """Seconds that are left, as of a moment; less than none if it was overdrawn."""

    left: float
    at: float


class JudgementBudget:
    """Accounts of strangers; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total = _TokenBucket(TOTAL_BURST, clock.monotonic())
        self._sources: dict[bytes, _TokenBucket] = {}
        self._purged_at = 0.0

    def allows(self, source: bytes) -> bool:
        """Return whether a stranger of this source may be judged now."""
        now = self._clock.monotonic()
        with self._lock:
            if _refill(self._total, TOTAL_RATE, TOTAL_BURST, now) <= 0:
                return False
            bucket = self._sources.get(source) or self._sources.get(_OTHERS)
            return bucket is None or _refill(bucket, SOURCE_RATE, SOURCE_BURST, now) > 0

    def charge(self, source: bytes, seconds: float) -> None:
        """Charge what it took to find that a stranger is not good."""
        now = self._clock.monotonic()
        with self._lock:
            for bucket, rate, burst in (
                (self._total, TOTAL_RATE, TOTAL_BURST),
                (self._bucket(source, now), SOURCE_RATE, SOURCE_BURST),
            ):
                _refill(bucket, rate, burst, now)
                bucket.left -= seconds

    def _bucket(self, source: bytes, now: float) -> _TokenBucket:
        found = self._sources.get(source)
        if found is None and len(self._sources) >= MOST_SOURCES:
            if now - self._purged_at >= 1:  # looking at all of them takes a millisecond
                self._purged_at = now
                for one, bucket in list(self._sources.items()):
                    if _refill(bucket, SOURCE_RATE, SOURCE_BURST, now) >= SOURCE_BURST:
                        del self._sources[one]
            if len(self._sources) >= MOST_SOURCES:
                source = _OTHERS
        return self._sources.setdefault(source, _TokenBucket(SOURCE_BURST, now))


def _refill(bucket: _TokenBucket, rate: float, burst: float, now: float) -> float:
    bucket.left = min(burst, bucket.left + (now - bucket.at) * rate)
    bucket.at = now
    return bucket.left
