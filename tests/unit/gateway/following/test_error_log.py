"""Errors of the follower are logged, each once a minute."""

from __future__ import annotations

from structlog.testing import capture_logs

from doorward.core.errors import Unavailable
from doorward.gateway.following.error_log import ThrottledErrorLog
from tests.support.ports import FakeClock

AWAY = Unavailable("store-unavailable", "away", hint="look")


def test_each_trouble_is_told_once_a_minute() -> None:
    """Also if two of them take turns, and whether they were foreseen or not."""
    clock = FakeClock()
    errors = ThrottledErrorLog(clock)
    with capture_logs() as logs:
        for _ in range(20 * 61):
            errors.note("it failed", AWAY)
            errors.note("it failed", MemoryError())
            clock.turn(seconds=0.05)
    assert len(logs) == 4
    assert (logs[0]["event"], logs[0]["code"], logs[0]["hint"]) == ("it failed", "store-unavailable", "look")
    assert logs[1]["event"] == "it failed; it will be tried again"
    assert isinstance(logs[1]["exc_info"], MemoryError)


def test_what_failed_tells_troubles_apart() -> None:
    """One cause may prevent two actions, and each is logged."""
    errors = ThrottledErrorLog(FakeClock())
    with capture_logs() as logs:
        errors.note("one failed", AWAY)
        errors.note("two failed", AWAY)
    assert [line["event"] for line in logs] == ["one failed", "two failed"]


def test_after_a_success_it_is_told_at_once() -> None:
    """It is another trouble then, though the reason is the same."""
    errors = ThrottledErrorLog(FakeClock())
    with capture_logs() as logs:
        errors.note("it failed", AWAY)
        errors.clear()
        errors.note("it failed", AWAY)
    assert len(logs) == 2
