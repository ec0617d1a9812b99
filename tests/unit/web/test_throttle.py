"""The throttle of failed invitation tokens."""

from __future__ import annotations

from doorward.web import throttle
from doorward.web.throttle import AttemptThrottle

ALICE, MALLORY = "192.0.2.1", "192.0.2.66"


def is_refused(attempts: AttemptThrottle, source: str, now: float) -> bool:
    """Say whether a wrong token of a source is answered with 429."""
    error = attempts.refusal(source, now)
    assert error is None or 1 <= int(error.context["retry_after_seconds"]) <= 600
    return error is not None and error.code == "too-many-attempts"


def test_a_source_has_ten_wrong_tokens_in_ten_minutes() -> None:
    """After ten failures the source waits, others do not, and after ten minutes it may try again."""
    attempts = AttemptThrottle()
    for _ in range(10):
        assert not is_refused(attempts, MALLORY, 1000.0)
        attempts.note_failure(MALLORY, 1000.0)
    assert is_refused(attempts, MALLORY, 1599.0)
    error = attempts.refusal(MALLORY, 1500.0)
    assert error is not None
    assert error.context == {"retry_after_seconds": 100}
    assert not is_refused(attempts, ALICE, 1599.0)
    assert not is_refused(attempts, MALLORY, 1600.0)
    attempts.note_failure(MALLORY, 1600.0)
    assert not is_refused(attempts, MALLORY, 1600.0)


def test_many_sources_together_have_a_limit() -> None:
    """When the total is used up a wrong token of any source is no event of its own."""
    attempts = AttemptThrottle()
    for number in range(throttle.FAILURES_IN_TOTAL):
        assert not is_refused(attempts, ALICE, 1001.0)
        attempts.note_failure(f"10.0.{number // 256}.{number % 256}", 1000.0)
    assert is_refused(attempts, ALICE, 1001.0)
    assert not is_refused(attempts, ALICE, 1600.5)


def test_memory_is_bounded() -> None:
    """However many sources fail, no more than 4096 are remembered: the last ones."""
    attempts = AttemptThrottle()
    for number in range(throttle.MAX_SOURCES + 10):
        attempts.note_failure(f"source {number}", 0.0)
    assert len(attempts._sources) == throttle.MAX_SOURCES
    assert f"source {throttle.MAX_SOURCES + 9}" in attempts._sources
    assert "source 9" not in attempts._sources
