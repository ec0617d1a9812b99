"""The limit of recorded events in a flood: further events of the same kind are only counted.

Not here: which events are limited (`gateway`), the event that records a count (`catalogue`, `events:counted`).

A window lasts one minute. In a window, a few events of each key (a network source, or a certificate) are recorded
individually, and a few hundred events of all keys together. Further events are counted per key. The number of keys is
limited too: events of further keys are counted under the empty key. So a window adds at most
`in_total + max_keys + 1` leaves to the log. Each event is either recorded individually or in exactly one count.

Pure: time is an argument. Not safe to share between threads: the owner must lock.
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
"""Individually recorded events of one key in a window; enough for an office that enrols many people from one address."""
IN_TOTAL = 200
"""Individually recorded events of all keys in a window."""
MAX_KEYS = 100
"""Keys with a count of their own in a window; about 30 KB of state."""

OTHERS = ""
"""The key that counts the events of all further keys."""
UNKNOWN_SOURCE = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """The limits of one window: events recorded individually per key and in total, and keys with their own count."""

    per_key: int = PER_KEY
    in_total: int = IN_TOTAL
    max_keys: int = MAX_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCount:
    """The counted events of one key: their number, first and last time, kinds, and the first claimed name.

    `claimed` is a name that the peer sent without proof.
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
    """Decides for each event whether it is recorded individually or counted. `copy` saves a state to go back to.

    Args:
        limits: the limits of one window.
    """

    limits: EventLimits = field(default_factory=EventLimits)
    _began: datetime | None = None
    _singles: int = 0
    _keys: dict[str, _Key] = field(default_factory=dict)

    def admit(self, kind: str, key: str, at: datetime, *, claimed: str = "", room: bool = True) -> bool:
        """Return whether this event is to be recorded individually; otherwise it is counted.

        Args:
            kind: the kind of event, one word.
            key: the network source (`source_key`) or the id of a certificate.
            at: aware, UTC.
            claimed: the name that the peer claimed.
            room: False counts the event in any case (the disk is nearly full).
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

    def give_back(self, key: str) -> None:
        """Take back one event that was admitted singly in this window: it did not happen."""
        mine = self._keys.get(key)
        if mine is not None and mine.singles:
            mine.singles -= 1
            self._singles -= 1

    def is_over(self, now: datetime) -> bool:
        """Return whether the window has ended; it also ends if the clock was set back."""
        return self._began is not None and not timedelta(0) <= now - self._began < WINDOW

    def close(self) -> tuple[EventCount, ...]:
        """End the window and return its counts; the next event begins a new window."""
        counts = tuple(one.count for one in self._keys.values() if one.count is not None)
        self._began, self._singles, self._keys = None, 0, {}
        return counts

    def copy(self) -> EventLimiter:
        """Return an independent copy."""
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
        raise MalformedInput("counts-malformed", "the stored counts of events cannot be parsed") from None


def source_key(address: str) -> str:
    """Return the key of a network address: the whole IPv4 address, the /64 of an IPv6 address, `unknown` otherwise.

    A household or a server has at least one /64 of IPv6 (RFC 6177), so one attacker could use 2**64 addresses.
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
