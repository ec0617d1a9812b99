"""Which of many like events are recorded singly, and which are only counted: a bound on what a flood writes.

Not here: who counts what (`gateway`), and the event that tells of a count (`catalogue`, `events:counted`).

A window lasts a minute. Within it each key (a network source, or a certificate) has a few events on record
singly, and all keys together have a few hundred. What comes beyond is counted by key. Keys are bounded too:
what comes from further keys is counted under the empty key. So a window gives at most
`in_total + max_keys + 1` leaves, however many events come; and each event is either single or in exactly one count.

Pure: time comes in as an argument. Nothing here locks: the owner does.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from doorward.core.errors import MalformedInput

WINDOW = timedelta(minutes=1)
PER_KEY = 20
"""Singly recorded events of one key in a window: an office that enrols, a person with an ended certificate."""
IN_TOTAL = 200
"""Singly recorded events of all keys in a window."""
MAX_KEYS = 100
"""Keys with a count of their own in a window; about 30 KB of state."""

OTHERS = ""
"""The key of what came from more keys than are kept apart."""
UNKNOWN_SOURCE = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """What one window may record: singly for one key and for all, and how many keys are kept apart."""

    per_key: int = PER_KEY
    in_total: int = IN_TOTAL
    max_keys: int = MAX_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCount:
    """What was counted of one key: how many, from when to when, of which kinds, and what the first claimed.

    `claimed` is what a peer said of itself; nothing has proved it.
    """

    key: str
    number: int
    first: datetime
    last: datetime
    kinds: tuple[str, ...]
    claimed: str = ""


@dataclass(slots=True)
class _Key:
    singles: int = 0
    count: EventCount | None = None


@dataclass(slots=True)
class EventLimiter:
    """Decides for each event: singly, or counted. A value with an owner; `copy` to go back to it.

    Args:
        limits: of one window.
    """

    limits: EventLimits = field(default_factory=EventLimits)
    _began: datetime | None = None
    _singles: int = 0
    _keys: dict[str, _Key] = field(default_factory=dict)

    def admit(self, kind: str, key: str, at: datetime, *, claimed: str = "", room: bool = True) -> bool:
        """Return whether this event is to be recorded singly; otherwise it is counted.

        Args:
            kind: what happened, a word.
            key: from where: see `source_key`; or the id of a certificate.
            at: aware, UTC.
            claimed: what the peer said of itself.
            room: False counts it in any case (a disk that is nearly full).
        """
        if self._began is None:
            self._began = at
        mine = self._keys.get(key)
        if mine is None:
            if len(self._keys) >= self.limits.max_keys and key != OTHERS:
                key = OTHERS
            mine = self._keys.setdefault(key, _Key())
        alone = room and key != OTHERS
        if alone and mine.singles < self.limits.per_key and self._singles < self.limits.in_total:
            mine.singles += 1
            self._singles += 1
            return True
        mine.count = _counted(mine.count, kind, key, at, claimed)
        return False

    def is_over(self, now: datetime) -> bool:
        """Return whether the window has ended; a clock that was set back ends it too."""
        return self._began is not None and not timedelta(0) <= now - self._began < WINDOW

    def close(self) -> tuple[EventCount, ...]:
        """End the window: return its counts, and begin the next one with the next event."""
        counts = tuple(one.count for one in self._keys.values() if one.count is not None)
        self._began, self._singles, self._keys = None, 0, {}
        return counts

    def copy(self) -> EventLimiter:
        """Return an equal one that changes by itself."""
        keys = {key: replace(one) for key, one in self._keys.items()}
        return EventLimiter(limits=self.limits, _began=self._began, _singles=self._singles, _keys=keys)

    def render(self) -> str:
        """Return the state as text; empty if there is none."""
        if self._began is None:
            return ""
        keys = {
            key: [one.singles, *(_render(one.count) if one.count else ())] for key, one in self._keys.items()
        }
        value = {"began": self._began.timestamp(), "singles": self._singles, "keys": keys}
        return json.dumps(value, separators=(",", ":"))


def parse_limiter(text: str, limits: EventLimits | None = None) -> EventLimiter:
    """Return the limiter that `render` wrote.

    Raises:
        MalformedInput: `counts-malformed` for any other text.
    """
    if not text:
        return EventLimiter(limits=limits or EventLimits())
    try:
        value = json.loads(text)
        keys = {
            key: _Key(int(singles), _parse(key, count) if count else None)
            for key, (singles, *count) in value["keys"].items()
        }
        return EventLimiter(
            limits=limits or EventLimits(),
            _began=_moment(value["began"]),
            _singles=int(value["singles"]),
            _keys=keys,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise MalformedInput("counts-malformed", "the counts of events cannot be read") from None


def source_key(address: str) -> str:
    """Return the key of a network address: IPv4 whole, IPv6 by its /64, `unknown` for any other text.

    A household or server has at least a /64 of IPv6 (RFC 6177), so single addresses of it would be
    2**64 sources.
    """
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return UNKNOWN_SOURCE
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def _counted(count: EventCount | None, kind: str, key: str, at: datetime, claimed: str) -> EventCount:
    if count is None:
        return EventCount(key=key, number=1, first=at, last=at, kinds=(kind,), claimed=claimed)
    return replace(
        count,
        number=count.number + 1,
        first=min(count.first, at),
        last=max(count.last, at),
        kinds=count.kinds if kind in count.kinds else (*count.kinds, kind),
        claimed=count.claimed or claimed,
    )


def _render(count: EventCount) -> list[Any]:
    first, last = count.first.timestamp(), count.last.timestamp()
    return [count.number, first, last, list(count.kinds), count.claimed]


def _parse(key: str, parts: list[Any]) -> EventCount:
    number, first, last, kinds, claimed = parts
    return EventCount(
        key=key,
        number=int(number),
        first=_moment(first),
        last=_moment(last),
        kinds=tuple(str(one) for one in kinds),
        claimed=str(claimed),
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except OSError as error:
        raise ValueError from error
