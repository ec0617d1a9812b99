"""Windows of time on a wall clock: which days, from when to when, in which zone; and when that changes next.

Pure: the moment comes in as an argument; the tables of the zones are the standard library's.

What is compared is what a clock on the wall of the zone shows, to the second, with `from <= shown < to`.
1. A window over midnight belongs to the day on which it begins: `days: [fri], from: 22:00, to: 06:00` ends on
   Saturday morning.
2. An hour that the clock shows twice is inside both times, or outside both times.
3. An hour that the clock skips is no moment at all: a window within it does not occur that day, and one that
   would end within it ends when the clock jumps.

Not here: the word of the policy (`selectors.times`), and what follows when a window opens or closes (the gateway).
Standard: IANA time zone database (RFC 6557).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAY_MINUTES = 24 * 60

HORIZON = timedelta(days=16)
"""How far a change is looked for: two weeks, for a window of one hour a week may be skipped once by a clock."""

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_NO_ZONES = ("posix/", "right/")  # the same zones again, `right` with leap seconds
_NO_ZONE_NAMES = frozenset({"localtime", "posixrules", "Factory"})
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """One window.

    Args:
        days: of the week on which it begins, 0 for Monday, sorted, each once, at least one.
        begin: minutes after midnight, 0 to 1439.
        end: likewise, 1 to 1440; less than `begin` is on the next day.
        zone: an IANA name that `find_zone` knows.

    Raises:
        ValueError: the window is empty, or always open.
    """

    days: tuple[int, ...]
    begin: int
    end: int
    zone: str

    def __post_init__(self) -> None:
        if not self.days or list(self.days) != sorted(set(self.days)) or not set(self.days) <= set(range(7)):
            raise ValueError("days are 0 to 6, sorted, each once, at least one")
        if not (0 <= self.begin < DAY_MINUTES and 0 < self.end <= DAY_MINUTES and self.begin != self.end):
            raise ValueError("a window begins at 00:00 to 23:59, and ends at another time, 00:01 to 24:00")
        if len(self.days) == len(DAYS) and (self.begin, self.end) == (0, DAY_MINUTES):
            raise ValueError("the window is always open")

    def shows(self, wall: datetime) -> bool:
        """Say whether a clock that shows this is within the window."""
        minute = wall.hour * 60 + wall.minute
        today, yesterday = wall.weekday() in self.days, (wall.weekday() - 1) % 7 in self.days
        if self.begin < self.end:
            return today and self.begin <= minute < self.end
        return (today and minute >= self.begin) or (yesterday and minute < self.end)


def find_zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name; None if this machine has no table of it."""
    if not _ZONE.fullmatch(name) or name.startswith(_NO_ZONES) or name in _NO_ZONE_NAMES:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def window_state(window: TimeWindow, now: datetime) -> tuple[bool, datetime | None] | None:
    """Say whether a window is open, and when that changes next.

    Args:
        window: the window.
        now: aware, UTC.

    Returns:
        Whether it is open, and the first later moment (UTC) at which it is not so any more, None if there is none
        within two weeks; None as a whole if the zone is not known here.
    """
    zone = find_zone(window.zone)
    if zone is None:
        return None
    is_open = window.shows(now.astimezone(zone))
    changes = _changes(window, now.date())
    later = changes[bisect_right(changes, (now, True)) :]
    return is_open, next((moment for moment, opens in later if opens is not is_open), None)


@lru_cache(maxsize=1024)
def _changes(window: TimeWindow, first: date) -> tuple[tuple[datetime, bool], ...]:
    """Return each moment from a day (UTC) on at which a window opens (True) or closes."""
    zone = find_zone(window.zone)
    assert zone is not None  # as the caller found
    begin = datetime.combine(first, time(), UTC)
    found = []
    before = window.shows((begin - _SECOND).astimezone(zone))
    for moment in sorted(_moments(window, begin, zone)):
        now = window.shows(moment.astimezone(zone))
        if now is not before:
            found.append((moment, now))
            before = now
    return tuple(found)


def _moments(window: TimeWindow, begin: datetime, zone: ZoneInfo) -> set[datetime]:
    """Return moments (UTC) among which is every one at which the answer may change."""
    found = {begin}
    day = begin.astimezone(zone).date() - _DAY
    while (start := datetime.combine(day, time(), zone)) <= begin + HORIZON:
        day += _DAY
        for minute in {window.begin, window.end % DAY_MINUTES, 0}:
            shown = start.replace(hour=minute // 60, minute=minute % 60)
            # Shown twice: both. Skipped: neither is right, and the moment of the jump is among the others.
            found |= {shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
        found |= _jumps(start.astimezone(UTC), datetime.combine(day, time(), zone).astimezone(UTC), zone)
    return {moment for moment in found if moment >= begin}


def _jumps(begin: datetime, end: datetime, zone: ZoneInfo) -> set[datetime]:
    """Return the moments between two (UTC) at which the clock of the zone jumps, to the second.

    Found by halving, hour by hour: the library tells offsets, and not when they change.
    """
    found = set()
    hour = begin
    while hour < end:
        after = min(hour + timedelta(hours=1), end)
        if hour.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            low, high = hour, after
            while high - low > _SECOND:
                middle = low + (high - low) // 2
                same = middle.astimezone(zone).utcoffset() == hour.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.add(high.replace(microsecond=0))
        hour = after
    return found
