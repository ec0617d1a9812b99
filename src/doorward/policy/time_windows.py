"""Time windows on a wall clock: days, from, to and zone; and the next time at which a window opens or closes.

Pure: the time comes in as an argument; the time zone tables are those of the standard library.

The time that a wall clock in the zone shows is compared, to the second: `from <= shown < to`.
1. A window over midnight belongs to the day on which it begins: `days: [fri], from: 22:00, to: 06:00` ends on
   Saturday morning.
2. An hour that the clock shows twice is inside the window both times, or outside both times.
3. An hour that the clock skips does not exist: a window inside it does not open on that day, and a window that would
   end inside it ends when the clock jumps.

Not here: the selector key (`selectors.times`), and what happens when a window opens or closes (the gateway).
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
"""How far ahead a change is looked for: two weeks, because a window of one hour a week may be skipped once by the clock."""

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_NO_ZONES = ("posix/", "right/")  # copies of all zones; those in `right` count leap seconds
_NO_ZONE_NAMES = frozenset({"localtime", "posixrules", "Factory"})
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """One time window.

    Args:
        days: the days of the week on which it begins, 0 for Monday, sorted, each once, at least one.
        begin: minutes after midnight, 0 to 1439.
        end: minutes after midnight, 1 to 1440; if it is less than `begin`, the window ends on the next day.
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
        """Return whether a clock that shows this time is within the window."""
        minute = wall.hour * 60 + wall.minute
        today, yesterday = wall.weekday() in self.days, (wall.weekday() - 1) % 7 in self.days
        if self.begin < self.end:
            return today and self.begin <= minute < self.end
        return (today and minute >= self.begin) or (yesterday and minute < self.end)


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of an IANA name; None if this machine does not have it."""
    if not _ZONE.fullmatch(name) or name.startswith(_NO_ZONES) or name in _NO_ZONE_NAMES:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def window_state(window: TimeWindow, now: datetime) -> tuple[bool, datetime | None] | None:
    """Return whether a window is open, and when this changes next.

    Args:
        window: the window.
        now: aware, UTC.

    Returns:
        Whether it is open, and the first later moment (UTC) at which this changes, None if there is none within two
        weeks. The whole result is None if this machine does not have the time zone.
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
    """Return each moment, beginning with a day (UTC), at which a window opens (True) or closes."""
    zone = find_zone(window.zone)
    assert zone is not None  # the caller has checked it
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
    """Return moments (UTC); every moment at which the answer may change is among them."""
    found = {begin}
    day = begin.astimezone(zone).date() - _DAY
    while (start := datetime.combine(day, time(), zone)) <= begin + HORIZON:
        day += _DAY
        for minute in {window.begin, window.end % DAY_MINUTES, 0}:
            shown = start.replace(hour=minute // 60, minute=minute % 60)
            # A time that is shown twice gives both moments. For a skipped time, `_jumps` finds the right moment.
            found |= {shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
        found |= _jumps(start.astimezone(UTC), datetime.combine(day, time(), zone).astimezone(UTC), zone)
    return {moment for moment in found if moment >= begin}


def _jumps(begin: datetime, end: datetime, zone: ZoneInfo) -> set[datetime]:
    """Return the moments between two (UTC) at which the clock of the zone jumps, to the second.

    They are found by bisection, hour by hour: the library has offsets, but not the moments at which they change.
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
