"""An access log that cannot be written is on record, once a minute at most, and in the status."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.access_log.watch import COUNTER, LONGEST_PAUSE, LogWatch
from tests.support.ports import NOON, FakeClock


class Envoy:
    """An Envoy with a counter that the test sets."""

    def __init__(self) -> None:
        self.failed = 0
        self.epoch = 1
        self.answers = True

    def used_counters(self, pattern: str) -> dict[str, int]:
        """The counter, or no answer."""
        assert pattern == f"^{COUNTER}$"
        if not self.answers:
            raise Unavailable("envoy-admin-unavailable", "away")
        return {COUNTER: self.failed} if self.failed else {}


@pytest.fixture
def scene():
    """An Envoy, its watch, a clock and the gaps that were recorded."""
    envoy, clock, gaps = Envoy(), FakeClock(), []
    watch = LogWatch(lambda: (envoy, envoy.epoch), lambda *gap: gaps.append(gap), clock)
    return envoy, watch, clock, gaps


def pass_seconds(watch, clock, count):
    """Look once a second for so many seconds."""
    for _ in range(count):
        clock.turn(seconds=1)
        watch.look()


def test_all_is_well(scene):
    """A counter that does not grow records and reports nothing."""
    _, watch, clock, gaps = scene
    pass_seconds(watch, clock, 100)
    assert gaps == []
    assert watch.trouble() == ""


def test_a_failure_is_recorded_with_its_time(scene):
    """From the last look that was well until this one."""
    envoy, watch, clock, gaps = scene
    pass_seconds(watch, clock, 3)
    envoy.failed = 2
    pass_seconds(watch, clock, 1)
    assert gaps == [(NOON + timedelta(seconds=3), NOON + timedelta(seconds=4), "log-write-failed")]
    assert "2 times" in watch.trouble()
    pass_seconds(watch, clock, 120)
    assert len(gaps) == 1
    assert watch.trouble() == ""


def test_a_disk_that_stays_full_is_one_gap_a_minute(scene):
    """Gaps follow each other without a hole, and are few."""
    envoy, watch, clock, gaps = scene
    for _ in range(180):
        envoy.failed += 1
        pass_seconds(watch, clock, 1)
    assert len(gaps) <= 4
    assert all(later[0] <= earlier[1] + timedelta(seconds=1) for earlier, later in pairwise(gaps))
    assert watch.trouble()


def test_another_envoy_has_its_own_counter(scene):
    """After a restart of Envoy a counter of zero reports nothing, and any other counter a gap."""
    envoy, watch, clock, gaps = scene
    envoy.failed = 5
    pass_seconds(watch, clock, 1)
    envoy.epoch, envoy.failed = 2, 0
    pass_seconds(watch, clock, 100)
    assert len(gaps) == 1
    envoy.epoch, envoy.failed = 3, 1
    pass_seconds(watch, clock, 1)
    assert len(gaps) == 2


def test_an_envoy_that_does_not_answer_is_no_news(scene):
    """An Envoy that does not answer, or does not run, gives no gap."""
    envoy, watch, clock, gaps = scene
    envoy.failed, envoy.answers = 1, False
    pass_seconds(watch, clock, 5)
    assert gaps == []
    idle = LogWatch(lambda: None, lambda *gap: gaps.append(gap), clock)
    idle.look()
    assert gaps == []


def test_what_cannot_be_recorded_is_recorded_later(scene):
    """The gap begins at the look before the counter grew."""
    envoy, _, clock, gaps = scene
    away = [True]

    def note(*gap):
        if away:
            raise Unavailable("database-unavailable", "away")
        gaps.append(gap)

    watch = LogWatch(lambda: (envoy, envoy.epoch), note, clock)
    envoy.failed = 1
    clock.turn(seconds=1)
    with pytest.raises(Unavailable):
        watch.look()
    assert watch.trouble()
    away.clear()
    pass_seconds(watch, clock, 3)
    assert [gap[0] for gap in gaps] == [NOON]


def test_an_adopted_envoy_may_have_lost_lines_while_no_gateway_looked(scene):
    """The gap begins where the earlier gateway may have looked last, not at the start of this one."""
    envoy, watch, clock, gaps = scene
    envoy.failed = 2
    watch.resume(NOON - timedelta(seconds=7))
    pass_seconds(watch, clock, 3)
    began = NOON - timedelta(seconds=7) - LONGEST_PAUSE
    assert gaps == [(began, NOON + timedelta(seconds=1), "log-write-failed")]


def test_a_slow_look_is_followed_by_a_longer_pause(scene):
    """A search of many statistics is not repeated at each heartbeat; a failure is found at the next look."""
    envoy, watch, clock, gaps = scene
    asked = []
    answer = envoy.used_counters

    def slow(pattern):
        asked.append(clock.now())
        clock.turn(seconds=0.1)
        return answer(pattern)

    envoy.used_counters = slow
    pass_seconds(watch, clock, 30)
    assert len(asked) == 3
    envoy.failed = 1
    pass_seconds(watch, clock, 5)
    assert [(since, reason) for since, _, reason in gaps] == [(asked[-2], "log-write-failed")]
