"""A change of a window is found to the minute, in every zone that moves its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.policy.time_windows import TimeWindow, find_zone, window_state
from tests.support.examples import examples

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Chatham",
)
MINUTE = timedelta(minutes=1)

begins = st.sampled_from([0, 15, 60, 90, 120, 150, 180, 480, 1080, 1320, 1439])
ends = st.sampled_from([1, 61, 121, 151, 181, 481, 1081, 1321, 1440])
windows = st.builds(
    TimeWindow,
    days=st.frozensets(st.integers(min_value=0, max_value=6), min_size=1, max_size=6).map(
        lambda days: tuple(sorted(days))
    ),
    begin=begins,
    end=ends,
    zone=st.sampled_from(ZONES),
)
# Days around which clocks are moved, and others.
moments = st.builds(
    lambda day, minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=minute),
    st.sampled_from([41, 60, 66, 80, 86, 87, 93, 94, 243, 246, 276, 296, 297, 304]),
    st.integers(min_value=0, max_value=1439),
)


@given(windows, moments)
@settings(max_examples=examples(200), deadline=None)
def test_the_next_change_is_the_first_minute_that_differs(window: TimeWindow, now: datetime) -> None:
    """Looking at the clock each minute finds no change before the one that is foretold, and finds that one."""
    zone, found = find_zone(window.zone), window_state(window, now)
    assert zone is not None
    assert found is not None
    is_open, change = found
    assert is_open is window.shows(now.astimezone(zone))
    looked_at, end = now, change or now + timedelta(days=2)
    while (looked_at := looked_at + MINUTE) < min(end, now + timedelta(days=2)):
        assert window.shows(looked_at.astimezone(zone)) is is_open, looked_at
    if change is not None:
        assert window.shows(change.astimezone(zone)) is not is_open
        assert window.shows((change - timedelta(seconds=1)).astimezone(zone)) is is_open
