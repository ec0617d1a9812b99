"""Moments for each connection, by the clock on the wall."""

from __future__ import annotations

from datetime import timedelta

from doorward.gateway.connections.alarms import Alarms
from tests.support.ports import NOON

MINUTE = timedelta(minutes=1)


def test_what_has_come_is_taken_once_and_in_order() -> None:
    """The earliest comes first; a moment is taken with its cookie."""
    alarms = Alarms()
    for cookie in (3, 1, 2):
        alarms.set(cookie, NOON + cookie * MINUTE)
    assert alarms.first() == NOON + MINUTE
    assert alarms.take(NOON) == []
    assert alarms.take(NOON + 2 * MINUTE) == [1, 2]
    assert alarms.take(NOON + 2 * MINUTE) == []
    assert alarms.first() == NOON + 3 * MINUTE


def test_the_newest_moment_counts() -> None:
    """A moment that was put off, put forward or taken away is not taken at its old time."""
    alarms = Alarms()
    for cookie in (1, 2, 3):
        alarms.set(cookie, NOON)
    alarms.set(1, NOON + MINUTE)
    alarms.set(2, NOON - MINUTE)
    alarms.set(3, None)
    alarms.set(4, None)
    assert alarms.take(NOON) == [2]
    assert alarms.take(NOON + MINUTE) == [1]
    assert alarms.first() is None


def test_a_clock_that_is_set_back_takes_nothing_early() -> None:
    """What has not come by the clock is not taken, whatever time passed."""
    alarms = Alarms()
    alarms.set(1, NOON)
    assert alarms.take(NOON - MINUTE) == []
    assert alarms.take(NOON) == [1]


def test_the_dead_do_not_fill_the_memory() -> None:
    """Short connections with far moments are cleared away."""
    alarms = Alarms()
    for cookie in range(50_000):
        alarms.set(cookie, NOON + cookie * MINUTE)
        alarms.set(cookie, None)
    assert len(alarms) < 1100
