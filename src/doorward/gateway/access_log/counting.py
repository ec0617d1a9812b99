"""The event limiters of a gateway, and the event about a count.

Not here: the limits and windows (`audit.counting`). Two streams of a gateway's events are limited: lines of the access
log (by `ingest`, in the transaction that moves its position), and connections that were refused or cut (here; the
counts are stored once a second, so a crash loses at most a second of counts).
"""

from __future__ import annotations

import threading
from datetime import datetime

from doorward.audit.counting import (
    OTHERS,
    UNKNOWN_SOURCE,
    EventCount,
    EventLimiter,
    EventLimits,
    parse_limiter,
)
from doorward.audit.events import EventType, printable
from doorward.core.errors import MalformedInput
from doorward.core.ports import Clock
from doorward.gateway.access_log.lines import AccessLine, is_certificate

LINES = "access-log"
CONNECTIONS = "connections"

_REASONS = {True: "certificate-over-limit", False: "source-over-limit"}


def describe_count(count: EventCount, gateway_id: str) -> AccessLine:
    """Return the event about the number that was counted under one key."""
    judged = is_certificate(count.key)
    data: dict[str, str | int | datetime | list[str]] = {
        "gateway": gateway_id,
        "reason": "too-many-sources" if count.key == OTHERS else _REASONS[judged],
        "number": count.number,
        "from_at": count.first,
        "to_at": count.last,
        "types": list(count.kinds),
    }
    if judged:
        data["certificate"] = count.key
    personal = {"source": "" if judged else count.key, "claimed_server_name": printable(count.claimed)}
    return AccessLine(
        type=EventType.EVENTS_COUNTED,
        data=data,
        personal={name: value for name, value in personal.items() if value},
    )


class ConnectionEventLimiter:
    """Limits the events about refused and cut connections: some are recorded singly, the others counted.

    Safe between threads.

    Args:
        clock: now.
        limits: of one window.
    """

    def __init__(self, clock: Clock, limits: EventLimits | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limiter = EventLimiter(limits=limits or EventLimits())
        self._due: tuple[EventCount, ...] = ()
        self._changed = False

    def restore(self, state: str) -> None:
        """Take over the counts of an earlier run; they are due at once.

        Raises:
            MalformedInput: `counts-malformed`.
        """
        with self._lock:
            self._due += parse_limiter(state).close()

    def admit(self, kind: EventType, key: str, *, claimed: str = "") -> bool:
        """Return whether this event is recorded singly; otherwise it is counted."""
        with self._lock:
            single = self._limiter.admit(kind.value, key, self._clock.now(), claimed=claimed)
            self._changed = True
            return single

    def count(self, kind: EventType, key: str, why: str) -> None:
        """Count a refusal that has no event of its own; the code `why` is appended to the type."""
        with self._lock:
            self._limiter.admit(f"{kind.value}/{why}", key, self._clock.now(), room=False)
            self._changed = True

    def due(self, *, final: bool = False) -> tuple[EventCount, ...]:
        """Return the counts to be recorded; they stay due until `clear_due`."""
        with self._lock:
            if not self._due and (final or self._limiter.is_over(self._clock.now())):
                self._due = self._limiter.close()
                self._changed = True
            return self._due

    def clear_due(self) -> None:
        """Note that the counts that were due are durable."""
        with self._lock:
            self._due = ()

    def changed_state(self) -> str | None:
        """Return the state to be stored if it changed since the last call; None if it did not."""
        with self._lock:
            changed, self._changed = self._changed, False
            return self._limiter.render() if changed else None


class LogLimiter:
    """Limits the refusals in the log of the process: a few of each cause in a minute; safe between threads.

    The record has all of them. The log is for a person who watches it, and takes space on a disk, too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limiter = EventLimiter(limits=EventLimits(per_key=5, in_total=60, max_keys=60))

    def allows(self, key: str) -> bool:
        """Return whether one more line about this source or certificate is logged."""
        with self._lock:
            now = self._clock.now()
            if self._limiter.is_over(now):
                self._limiter.close()
            return self._limiter.admit("line", key or UNKNOWN_SOURCE, now)


def log_key(line: AccessLine) -> str | None:
    """Return under which key a line is limited in the log; None if it is not logged.

    Logged are failed handshakes, and requests and connections that the door refused.
    """
    refused = line.type is EventType.HANDSHAKE_FAILED or "reason" in line.data
    logged = {EventType.HANDSHAKE_FAILED, EventType.REQUEST_ANSWERED, EventType.CONNECTION_CLOSED}
    if line.type not in logged or not refused:
        return None
    return str(line.data.get("certificate") or line.personal.get("source", ""))


class CertificateRateLimiter:
    """Limits how many connections each certificate may open in a minute; safe between threads.

    Memory is bounded by the inventory: only certificates in it have a count.

    Args:
        clock: now.
        per_minute: for one certificate.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limiter = EventLimiter(
            limits=EventLimits(per_key=per_minute, in_total=1 << 62, max_keys=1 << 62)
        )

    def allows(self, certificate_id: str) -> bool:
        """Return whether the certificate may open one more connection."""
        with self._lock:
            now = self._clock.now()
            if self._limiter.is_over(now):
                self._limiter.close()
            return self._limiter.admit(EventType.CONNECTION_ADMITTED.value, certificate_id, now)

    def give_back(self, certificate_id: str) -> None:
        """Take back a connection that `allows` counted: it is judged once more, and counted then."""
        with self._lock:
            self._limiter.give_back(certificate_id)


def parse_stored_limiter(state: str) -> EventLimiter:
    """Return the limiter of a stored state; an empty one if the state cannot be parsed."""
    try:
        return parse_limiter(state)
    except MalformedInput:
        return EventLimiter()
