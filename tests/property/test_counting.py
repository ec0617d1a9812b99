"""For any events from any sources, counts add up exactly and a window's leaves are bounded."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.counting import EventLimiter, EventLimits, parse_limiter
from tests.support.ports import NOON

LIMITS = st.builds(
    EventLimits,
    per_key=st.integers(0, 4),
    in_total=st.integers(0, 8),
    max_keys=st.integers(0, 5),
)
STEPS = st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 90), st.booleans(), st.booleans()), max_size=60)


@given(LIMITS, STEPS)
def test_every_event_is_single_or_counted_once(
    limits: EventLimits, steps: list[tuple[int, int, bool, bool]]
) -> None:
    """Also if the clock jumps, the state is stored and read again, and there is no room at times."""
    limiter, now = EventLimiter(limits=limits), NOON
    single = counted = in_window = 0
    for key, seconds, room, restart in steps:
        now += timedelta(seconds=seconds)
        if limiter.is_over(now):
            counts = limiter.close()
            counted += sum(one.number for one in counts)
            assert len(counts) <= limits.max_keys + 1
            assert all(one.first <= one.last for one in counts)
            in_window = 0
        admitted = limiter.admit("x", f"k{key}", now, room=room)
        single, in_window = single + admitted, in_window + admitted
        assert in_window <= limits.in_total
        if restart:
            limiter = parse_limiter(limiter.render(), limits)
    counted += sum(one.number for one in limiter.close())
    assert single + counted == len(steps)
