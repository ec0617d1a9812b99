"""Events of failed checks, limited in a flood: the first failures of a certificate in a minute are events, others are counted.

The limits are those of `audit.counting`. When the minute is over, one event for each certificate has the count
(`factor:failed` with `number`): at the next failure, or by `write_counts`, which `serve` calls once a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from doorward.audit.counting import OTHERS, EventCount, EventLimiter
from doorward.audit.events import Event, EventType
from doorward.stores.events import new_event
from doorward.stores.services import Services

COUNTED = "too-many-attempts"
"""The reason of an event that stands for many failures."""


class FailureEventLimiter:
    """Limits the events of failures of one process; safe between threads. A crash loses the counts of a minute, no event."""

    def __init__(self, limiter: EventLimiter) -> None:
        self._lock = threading.Lock()
        self._limiter = limiter

    def admit(self, kind: str, key: str, now: datetime) -> tuple[bool, tuple[EventCount, ...]]:
        """Return whether this failure gets its own event, and the counts of a minute that is over.

        Args:
            kind: why it failed.
            key: the id of the certificate.
            now: aware, UTC.
        """
        with self._lock:
            over = self._limiter.close() if self._limiter.is_over(now) else ()
            return self._limiter.admit(kind, key, now), over

    def close(self, now: datetime, *, whole: bool = False) -> tuple[EventCount, ...]:
        """Return the counts of the minute that is over; with `whole` also those of the current minute."""
        with self._lock:
            return self._limiter.close() if whole or self._limiter.is_over(now) else ()


def describe_counts(services: Services, counts: Sequence[EventCount]) -> list[Event]:
    """Return the events for counted failures."""
    return [
        new_event(
            services,
            EventType.FACTOR_FAILED,
            actor="system",
            data={
                "reason": COUNTED,
                "certificate": "" if count.key == OTHERS else count.key,
                "number": count.number,
                "from_at": count.first,
                "to_at": count.last,
            },
        )
        for count in counts
    ]


def write_counts(services: Services, limiter: FailureEventLimiter, *, whole: bool = False) -> int:
    """Record the counts of the last minute, and with `whole` (at the end) of the current one; return how many events."""
    events = describe_counts(services, limiter.close(services.clock.now(), whole=whole))
    if events:
        services.work.record(events)
    return len(events)
