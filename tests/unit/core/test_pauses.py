"""Pauses double up to a limit."""

from __future__ import annotations

from datetime import timedelta

from doorward.core.pauses import double_pause

SECOND = timedelta(seconds=1)


def test_pauses_double_up_to_a_limit() -> None:
    """However often something failed, the pause is at most the longest one."""
    found = [double_pause(SECOND, times, 5 * SECOND) for times in (0, 1, 2, 3, 10_000)]
    assert found == [SECOND, 2 * SECOND, 4 * SECOND, 5 * SECOND, 5 * SECOND]
    assert double_pause(10 * SECOND, 0, SECOND) == SECOND
