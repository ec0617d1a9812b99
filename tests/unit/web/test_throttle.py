"""The throttle of failed invitation tokens."""

from __future__ import annotations

import pytest

from doorward.core.errors import RequestRefused
from doorward.web import throttle
from doorward.web.throttle import AttemptThrottle

ALICE, MALLORY = "192.0.2.1", "192.0.2.66"


def is_refused(attempts: AttemptThrottle, source: str, now: float) -> bool:
    """Say whether a source is refused."""
    try:
        attempts.check(source, now)
    except RequestRefused as error:
        return error.code == "too-many-attempts" and 1 <= int(error.context["retry_after_seconds"]) <= 600
    return False


def test_a_source_has_ten_tries_in_ten_minutes() -> None:
    """After ten failures the source waits, others do not, and after ten minutes it may try again."""
    attempts = AttemptThrottle()
    for _ in range(10):
        assert not is_refused(attempts, MALLORY, 1000.0)
        attempts.note_failure(MALLORY, 1000.0)
    assert is_refused(attempts, MALLORY, 1599.0)
    with pytest.raises(RequestRefused) as caught:
        attempts.check(MALLORY, 1500.0)
    assert caught.value.context == {"retry_after_seconds": 100}
    assert not is_refused(attempts, ALICE, 1599.0)
    assert not is_refused(attempts, MALLORY, 1600.0)
    attempts.note_failure(MALLORY, 1600.0)
    assert not is_refused(attempts, MALLORY, 1600.0)


def test_many_sources_together_are_slowed_but_nobody_is_locked_out() -> None:
    """When the total is used up each source has its first try and no second one."""
    attempts = AttemptThrottle()
    for number in range(throttle.FAILURES_IN_TOTAL):
        attempts.note_failure(f"10.0.{number // 256}.{number % 256}", 1000.0)
    assert not is_refused(attempts, ALICE, 1001.0)
    attempts.note_failure(ALICE, 1001.0)
    assert is_refused(attempts, ALICE, 1002.0)
    assert not is_refused(attempts, ALICE, 1600.5)


def test_memory_is_bounded() -> None:
    """However many sources fail, no more than 4096 are remembered: the last ones."""
    attempts = AttemptThrottle()
    for number in range(throttle.MAX_SOURCES + 10):
        attempts.note_failure(f"source {number}", 0.0)
    assert len(attempts._sources) == throttle.MAX_SOURCES
    assert f"source {throttle.MAX_SOURCES + 9}" in attempts._sources
    assert "source 9" not in attempts._sources
