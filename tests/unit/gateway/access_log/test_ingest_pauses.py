"""How often the access log is looked at: often while lines are written, seldom if there are many or none."""

from __future__ import annotations

import threading
from collections.abc import Callable

from doorward.gateway.access_log.ingest import (
    BUSY_BYTES,
    BUSY_POLL_SECONDS,
    POLL_SECONDS,
    QUIET_POLL_SECONDS,
)
from tests.support.access_log import Log, line
from tests.support.ports import FakeClock


class _TimedStop(threading.Event):
    """A flag that notes how long the loop would wait, lets the clock pass it, and calls `act` at a moment."""

    def __init__(self, clock: FakeClock, looks: int, act: Callable[[], None], at: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._clock, self._looks, self._act, self._at = clock, looks, act, at

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self._clock.turn(seconds=timeout)
        if len(self.waits) == self._at:
            self._act()
        return len(self.waits) >= self._looks


def test_a_quiet_log_is_looked_at_less_often(log: Log) -> None:
    """After five seconds without a line, until one is written; then at once as often as before."""
    log.write(line(1))
    stop = _TimedStop(log.world.clock, 160, lambda: log.write(line(2)), at=120)
    log.ingest.run(stop)
    assert stop.waits[5:100] == [POLL_SECONDS] * 95
    assert stop.waits[105:120] == [QUIET_POLL_SECONDS] * 15
    assert stop.waits[120:] == [POLL_SECONDS] * 40
    assert log.taken() == ["r1", "r2"]


def test_after_many_lines_more_are_awaited(log: Log) -> None:
    """A block then has more of them; after few lines the next look is as soon as before, and no line is left."""
    many = [line(number) for number in range(2 + BUSY_BYTES // len(line(1)))]

    def write_all() -> None:
        for one in many:
            log.write(one)

    stop = _TimedStop(log.world.clock, 8, write_all, at=4)
    log.ingest.run(stop)
    assert stop.waits == [POLL_SECONDS] * 4 + [BUSY_POLL_SECONDS] + [POLL_SECONDS] * 3
    assert len(log.taken()) == len(many)
