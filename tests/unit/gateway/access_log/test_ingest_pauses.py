"""How often the access log is looked at: often while lines are written, seldom if there are many or none."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

from doorward.gateway.access_log.folder_watch import FolderWatch
from doorward.gateway.access_log.ingest import (
    BUSY_BYTES,
    BUSY_POLL_SECONDS,
    EVENT_SECONDS,
    FULL_LOOK_SECONDS,
    LOOK_SECONDS,
    POLL_SECONDS,
    QUIET_POLL_SECONDS,
    Ingest,
)
from tests.support.access_log import GATEWAY, Log, line
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


class _TimedWatch(FolderWatch):
    """A watch of the real folder that lets the clock pass instead of waiting; `act` is called in the wait with that number."""

    def __init__(self, folder: Path, clock: FakeClock, act: Callable[[], None], at: int) -> None:
        super().__init__(folder)
        self.waits: list[float] = []
        self._clock, self._act, self._at = clock, act, at

    def wait(self, seconds: float) -> bool:
        if seconds:
            self.waits.append(seconds)
            if len(self.waits) == self._at:
                self._act()
            self._clock.turn(seconds=seconds)
        return super().wait(0)


class _Deaf(_TimedWatch):
    """A watch on a file system that sends no events."""

    def wait(self, seconds: float) -> bool:
        super().wait(seconds)
        return False


def watched(log: Log, watch: FolderWatch) -> Ingest:
    """The reader of the log with a watch."""
    log.ingest = Ingest(log.world.services, GATEWAY, log.folder, log.reopen, watch=watch)
    return log.ingest


def looks(log: Log, watch: _TimedWatch, count: int) -> _TimedStop:
    """Run the reader with this watch until it has looked so often without it."""
    stop = _TimedStop(log.world.clock, count, lambda: None, at=0)
    watched(log, watch).run(stop)
    return stop


def test_a_quiet_log_sleeps_until_a_line_is_written(log: Log) -> None:
    """The kernel says when that is; from then on the log is looked at often again."""
    log.write(line(1))
    watch = _TimedWatch(log.folder, log.world.clock, lambda: log.write(line(2)), at=20)
    stop = looks(log, watch, 150)
    assert watch.waits == [LOOK_SECONDS] * 20
    assert set(stop.waits) == {POLL_SECONDS}
    assert log.taken() == ["r1", "r2"]


def test_a_line_of_an_envoy_that_drains_wakes_too(log: Log) -> None:
    """It goes on writing into the renamed file, which is not the live one."""
    log.write(line(1))
    log.ingest.rotate()
    log.write(line(2))
    watch = _TimedWatch(log.folder, log.world.clock, lambda: log.write(line(3), "access-1.log"), at=5)
    looks(log, watch, 150)
    assert len(watch.waits) == 5
    assert sorted(log.taken()) == ["r1", "r2", "r3"]


def test_files_that_did_not_change_are_read_seldom(log: Log) -> None:
    """The counts are looked at each second, the files every ten seconds: reading them costs ten times as much."""
    log.write(line(1))
    taken: list[float] = []
    watch = _TimedWatch(log.folder, log.world.clock, lambda: log.write(line(2)), at=60)
    ingest = watched(log, watch)
    take = ingest.take

    def note() -> bool:
        taken.append(log.world.clock.monotonic())
        return take()

    ingest.take = note  # type: ignore[method-assign]
    ingest.run(_TimedStop(log.world.clock, 110, lambda: None, at=0))
    quiet = [one for one in taken if taken[0] + 6 < one < taken[0] + 60]
    assert 4 <= len(quiet) <= 60 / FULL_LOOK_SECONDS


def test_without_events_the_log_is_looked_at(log: Log) -> None:
    """A file system that sends none is found out by the first line, which is not lost; afterwards the log is polled."""
    log.write(line(1))
    watch = _Deaf(log.folder, log.world.clock, lambda: log.write(line(2)), at=3)
    stop = looks(log, watch, 230)
    assert watch.waits == [LOOK_SECONDS] * 3 + [EVENT_SECONDS]
    assert stop.waits[-1] == QUIET_POLL_SECONDS
    assert log.taken() == ["r1", "r2"]


class _Broken(_TimedWatch):
    """A watch that the kernel has no memory for."""

    def wait(self, seconds: float) -> bool:
        super().wait(seconds)
        raise OSError(errno.ENOMEM, "no memory")


def test_if_waiting_fails_the_log_is_looked_at(log: Log) -> None:
    """The thread must not end: later lines would be missing without a message."""
    log.write(line(1))
    watch = _Broken(log.folder, log.world.clock, lambda: log.write(line(2)), at=1)
    stop = looks(log, watch, 230)
    assert watch.waits == [LOOK_SECONDS]
    assert stop.waits[-1] == QUIET_POLL_SECONDS
    assert log.taken() == ["r1", "r2"]


class _Late(_TimedWatch):
    """A watch of which the event comes a moment after the file was seen to be larger; `act` is called twice."""

    def wait(self, seconds: float) -> bool:
        if not seconds:
            return False
        if len(self.waits) + 1 != self._at:
            return super().wait(seconds)
        self.waits.append(seconds)
        self._act()
        self._clock.turn(seconds=seconds)
        self._at = 9
        return False


def test_an_event_that_comes_late_is_awaited(log: Log) -> None:
    """The log is not polled for ever because a look came between the new size of the file and its event."""
    log.write(line(1))
    numbers = iter((2, 3))
    watch = _Late(log.folder, log.world.clock, lambda: log.write(line(next(numbers))), at=3)
    looks(log, watch, 250)
    assert watch.waits[:4] == [LOOK_SECONDS] * 3 + [EVENT_SECONDS]
    assert len(watch.waits) == 10
    assert log.taken() == ["r1", "r2", "r3"]


def test_without_a_watch_left_the_log_is_looked_at(log: Log) -> None:
    """A user may have only so many; one that was closed is the same."""
    log.write(line(1))
    watch = _TimedWatch(log.folder, log.world.clock, lambda: None, at=0)
    watch.close()
    stop = looks(log, watch, 130)
    assert watch.waits == []
    assert stop.waits[-1] == QUIET_POLL_SECONDS
