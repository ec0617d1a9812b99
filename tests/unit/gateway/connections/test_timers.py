"""Moments for each connection, by the clock on the wall."""

from __future__ import annotations

from datetime import timedelta

from doorward.gateway.connections.timers import TimerQueue
from tests.support.ports import NOON

MINUTE = timedelta(minutes=1)


def test_what_has_come_is_taken_once_and_in_order() -> None:
    """The earliest comes first; a moment is taken with its cookie."""
    timers = TimerQueue()
    for cookie in (3, 1, 2):
        timers.set(cookie, NOON + cookie * MINUTE)
    assert timers.first() == NOON + MINUTE
    assert timers.take(NOON) == []
    assert timers.take(NOON + 2 * MINUTE) == [1, 2]
    assert timers.take(NOON + 2 * MINUTE) == []
    assert timers.first() == NOON + 3 * MINUTE


def test_the_newest_moment_counts() -> None:
    """A moment that was put off, put forward or taken away is not taken at its old time."""
    timers = TimerQueue()
    for cookie in (1, 2, 3):
        timers.set(cookie, NOON)
    timers.set(1, NOON + MINUTE)
    timers.set(2, NOON - MINUTE)
    timers.set(3, None)
    timers.set(4, None)
    assert timers.take(NOON) == [2]
    assert timers.take(NOON + MINUTE) == [1]
    assert timers.first() is None


def test_a_clock_that_is_set_back_takes_nothing_early() -> None:
    """A moment that has not come by the clock is not taken, however much time has passed."""
    timers = TimerQueue()
    timers.set(1, NOON)
    assert timers.take(NOON - MINUTE) == []
    assert timers.take(NOON) == [1]


def test_the_dead_do_not_fill_the_memory() -> None:
    """Short connections with far moments are cleared away."""
    timers = TimerQueue()
    for cookie in range(50_000):
        timers.set(cookie, NOON + cookie * MINUTE)
        timers.set(cookie, None)
    assert len(timers) < 1100
