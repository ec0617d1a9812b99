"""Windows on a wall clock, over midnight and at jumps of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from doorward.policy.time_windows import TimeWindow, find_zone, window_state

EVERY_DAY = tuple(range(7))
FRIDAY = (4,)


def window(
    begin: str, end: str, *, days: tuple[int, ...] = EVERY_DAY, zone: str = "Europe/Berlin"
) -> TimeWindow:
    """A window of `HH:MM` to `HH:MM`."""
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (begin, end)]
    return TimeWindow(days=days, begin=minutes[0], end=minutes[1], zone=zone)


def at(text: str) -> datetime:
    """A moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "now", "state", "change"),
    [
        # In winter Berlin is one hour ahead.
        (window("08:00", "18:00"), "2026-01-15 06:59:59", False, "2026-01-15 07:00"),
        (window("08:00", "18:00"), "2026-01-15 07:00", True, "2026-01-15 17:00"),
        (window("08:00", "18:00"), "2026-01-15 16:59:59.999999", True, "2026-01-15 17:00"),
        (window("08:00", "18:00"), "2026-01-15 17:00", False, "2026-01-16 07:00"),
        (window("08:00", "24:00"), "2026-01-15 22:59", True, "2026-01-15 23:00"),
        (window("00:00", "24:00", days=(5, 6)), "2026-01-15 12:00", False, "2026-01-16 23:00"),
        (window("00:00", "24:00", days=(5, 6)), "2026-01-17 12:00", True, "2026-01-18 23:00"),
        # Over midnight: the window belongs to the day on which it begins.
        (window("22:00", "06:00", days=FRIDAY, zone="UTC"), "2026-01-16 05:59", False, "2026-01-16 22:00"),
        (window("22:00", "06:00", days=FRIDAY, zone="UTC"), "2026-01-16 23:00", True, "2026-01-17 06:00"),
        (window("22:00", "06:00", days=FRIDAY, zone="UTC"), "2026-01-17 05:59", True, "2026-01-17 06:00"),
        (window("22:00", "06:00", days=FRIDAY, zone="UTC"), "2026-01-17 22:00", False, "2026-01-23 22:00"),
        (window("22:00", "06:00", zone="UTC"), "2026-01-17 00:00", True, "2026-01-17 06:00"),
        # In spring the clock jumps from 02:00 to 03:00 (01:00 UTC).
        (window("02:15", "02:45"), "2026-03-29 00:30", False, "2026-03-30 00:15"),
        (window("01:30", "02:30"), "2026-03-29 00:45", True, "2026-03-29 01:00"),
        (window("02:30", "04:00"), "2026-03-29 00:59:59", False, "2026-03-29 01:00"),
        (window("02:30", "04:00"), "2026-03-29 01:00", True, "2026-03-29 02:00"),
        # In autumn it shows 02:00 to 03:00 twice (00:00 to 02:00 UTC).
        (window("02:15", "02:45"), "2026-10-25 00:20", True, "2026-10-25 00:45"),
        (window("02:15", "02:45"), "2026-10-25 00:50", False, "2026-10-25 01:15"),
        (window("02:15", "02:45"), "2026-10-25 01:20", True, "2026-10-25 01:45"),
        (window("02:15", "02:45"), "2026-10-25 01:45", False, "2026-10-26 01:15"),
        (window("01:00", "03:00"), "2026-10-25 00:30", True, "2026-10-25 02:00"),
        (window("02:30", "04:00"), "2026-10-25 00:45", True, "2026-10-25 01:00"),
        (window("02:30", "04:00"), "2026-10-25 01:00", False, "2026-10-25 01:30"),
        # A clock that moves by half an hour, and one of a quarter.
        (window("02:10", "02:20", zone="Australia/Lord_Howe"), "2026-10-03 15:00", False, "2026-10-04 15:10"),
        (window("08:00", "09:00", zone="Asia/Kathmandu"), "2026-01-15 02:15", True, "2026-01-15 03:15"),
    ],
)
def test_what_the_clock_shows_decides(one: TimeWindow, now: str, state: object, change: str) -> None:
    """Open or not, and the next moment at which that is another."""
    assert window_state(one, at(now)) == (state, at(change))


def test_a_clock_set_back_is_what_it_shows() -> None:
    """The state depends only on the moment, and not on earlier questions."""
    office = window("08:00", "18:00", zone="UTC")
    for now, state in (("2026-01-15 18:00", False), ("2026-01-15 17:59", True), ("2026-01-20 18:00", False)):
        found = window_state(office, at(now))
        assert found is not None
        assert found[0] is state


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "right/UTC",
        "posix/UTC",
        "localtime",
        "europe",
        "A" * 99,
    ],
)
def test_what_is_no_zone_is_found_nowhere(name: str) -> None:
    """Only names of the time zone database are known, even if other files exist; without a zone a window has no state."""
    assert find_zone(name) is None
    assert window_state(window("08:00", "18:00", zone=name), at("2026-01-15 12:00")) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": ()},
        {"days": (1, 0)},
        {"days": (7,)},
        {"begin": 1440},
        {"begin": -1},
        {"end": 0},
        {"end": 480},
        {"begin": 0, "end": 1440},
    ],
)
def test_a_window_opens_and_closes(wrong: dict[str, int]) -> None:
    """One that is empty, always open or not of a day is no window."""
    with pytest.raises(ValueError, match=r"days|window"):
        TimeWindow(**{"days": EVERY_DAY, "begin": 480, "end": 1080, "zone": "UTC", **wrong})  # type: ignore[arg-type]


def test_a_change_is_found_for_every_window_of_a_week() -> None:
    """A window of one hour a week has its next change within eight days, even if the clock skips it once."""
    lost = window("02:00", "03:00", days=(6,))
    found = window_state(lost, at("2026-03-28 12:00"))
    assert found == (False, at("2026-04-05 00:00"))
    assert at("2026-04-05 00:00") - at("2026-03-28 12:00") < timedelta(days=8)
