"""Pauses that double after each failure, up to a limit: what fails again and again must not use up a machine or a peer."""

from __future__ import annotations

from datetime import timedelta

_MOST_DOUBLINGS = 24
"""Beyond any limit that is used; without it, the number would grow with the failures."""


def double_pause(first: timedelta, times: int, longest: timedelta) -> timedelta:
    """Return `first`, doubled so many times, at most `longest`.

    Args:
        first: the pause after the first failure.
        times: 0 or more.
        longest: less than `first` times 16 million.
    """
    pause: timedelta = first * 2 ** min(times, _MOST_DOUBLINGS)
    return min(pause, longest)
