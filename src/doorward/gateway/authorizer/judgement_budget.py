"""Token buckets that limit the processor time for judging unknown certificates: for each source, and for all together.

An unknown certificate is one that is not in the inventory. An attacker can make it so that its judgement takes tens of
milliseconds, and all applications share the processor. So the cost of each judgement is measured. If the certificate
turns out not to be good, the cost is charged to its source (one IPv4 address, or one IPv6 /64) and to the common
bucket. If a bucket is empty, an unknown certificate is refused without a judgement.
Known certificates, and unknown ones that turn out good, cost nothing: an office full of people with new certificates
gets in, and a flood from one place does not shut out holders of known certificates.

The cost is charged afterwards: one source can overdraw its bucket by the judgements that run at the same time. Their
number is limited by the threads of the authorizer.
Not here: judging (`access.deciding`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from doorward.core.ports import Clock

SOURCE_RATE, SOURCE_BURST = 0.05, 1.0
"""Processor seconds for each second, and at once: 25 judgements of 40 ms, then about one a second."""

TOTAL_RATE, TOTAL_BURST = 0.25, 2.0
"""A quarter of one processor for all unknown certificates together."""

MOST_SOURCES = 4_096
"""Sources with a bucket of their own; the others share one."""

_OTHERS = b""


@dataclass(slots=True)
class _TokenBucket:
    """Seconds of processor time left at the moment `at`; negative if the bucket was overdrawn."""

    left: float
    at: float


class JudgementBudget:
    """The buckets of all sources, and the common one; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total = _TokenBucket(TOTAL_BURST, clock.monotonic())
        self._sources: dict[bytes, _TokenBucket] = {}
        self._purged_at = 0.0

    def allows(self, source: bytes) -> bool:
        """Return whether an unknown certificate from this source may be judged now."""
        now = self._clock.monotonic()
        with self._lock:
            if _refill(self._total, TOTAL_RATE, TOTAL_BURST, now) <= 0:
                return False
            bucket = self._sources.get(source) or self._sources.get(_OTHERS)
            return bucket is None or _refill(bucket, SOURCE_RATE, SOURCE_BURST, now) > 0

    def charge(self, source: bytes, seconds: float) -> None:
        """Charge the time that it took to find that an unknown certificate is not good."""
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
