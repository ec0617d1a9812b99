"""A length of time as people write it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.time_text import describe_time
from doorward.runtime.durations import parse_duration, render_option_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (5, "5 s"),
        (90, "90 s"),
        (1800, "30 m"),
        (3600, "1 h"),
        (90_000, "25 h"),
        (7_776_000, "90 d"),
    ],
)
def test_a_time_is_in_its_largest_whole_unit(seconds: int, text: str) -> None:
    """Options and settings read it again, with the space and without it."""
    time = timedelta(seconds=seconds)
    assert describe_time(time) == text
    assert parse_duration(text) == parse_duration(render_option_duration(time)) == time
