"""How far this machine's clock is off the database server's, and from when on no part starts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from doorward.core.errors import Unavailable
from doorward.runtime.clock_difference import (
    MOST_SECONDS,
    describe_difference,
    find_clock_difference,
    require_clock,
)
from tests.support.ports import NOON, FakeClock
from tests.support.refusals import refused


class Server:
    """A server that is so far ahead of the machine, and takes so long to answer."""

    def __init__(self, clock: FakeClock, ahead: float, *, takes: float = 0.0) -> None:
        self.clock, self.ahead, self.takes = clock, ahead, takes

    def __call__(self) -> datetime:
        """Answer in the middle of the time that it takes."""
        self.clock.turn(seconds=self.takes / 2)
        there = self.clock.now() + timedelta(seconds=self.ahead)
        self.clock.turn(seconds=self.takes / 2)
        return there


@pytest.mark.parametrize("ahead", [-7.0, -MOST_SECONDS, 0.0, 1.0, 3600.0])
def test_the_difference_is_found(ahead: float) -> None:
    """Its sign says whether this machine is ahead."""
    clock = FakeClock()
    assert find_clock_difference(Server(clock, ahead), clock) == -ahead


def test_a_slow_answer_is_no_difference() -> None:
    """What the time between question and answer explains does not count; what is beyond it does."""
    clock = FakeClock()
    for ahead in (-4.9, 0.0, 4.9):
        assert find_clock_difference(Server(clock, ahead, takes=10.0), clock) == 0.0
    assert find_clock_difference(Server(clock, 9.0, takes=10.0), clock) == pytest.approx(-4.0)
    assert find_clock_difference(Server(clock, -9.0, takes=10.0), clock) == pytest.approx(4.0)


def test_a_file_has_no_clock() -> None:
    """With SQLite nothing is compared."""
    assert find_clock_difference(lambda: None, FakeClock()) == 0.0
    require_clock(lambda: None, FakeClock())


@pytest.mark.parametrize("ahead", [-2.6, 2.6, 600.0])
def test_no_part_starts_with_a_wrong_clock(ahead: float) -> None:
    """Beyond the limit the start is refused with the difference; at it everything starts."""
    clock = FakeClock()
    with refused(Unavailable, "clock-differs") as caught:
        require_clock(Server(clock, ahead), clock)
    assert f"{abs(ahead):.1f} seconds {'behind' if ahead > 0 else 'ahead of'}" in str(caught.value)
    assert "chrony" in caught.value.hint
    require_clock(Server(clock, MOST_SECONDS), clock)
    require_clock(Server(clock, -MOST_SECONDS), clock)


def test_the_difference_in_words() -> None:
    """For `status` and for the error."""
    assert describe_difference(7.04) == "7.0 seconds ahead of the clock of the database's server"
    assert describe_difference(-7.0) == "7.0 seconds behind the clock of the database's server"
    assert NOON.tzinfo is not None
