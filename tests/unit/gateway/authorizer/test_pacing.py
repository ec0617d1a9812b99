"""The loop waits a moment while several calls come at a time, and never at a quiet door."""

from __future__ import annotations

import pytest

from doorward.gateway.authorizer.pacing import LONGEST_PAUSE_SECONDS, TurnPacer


def test_a_quiet_door_never_waits() -> None:
    """However often single calls come, no turn is delayed."""
    pacer = TurnPacer()
    assert pacer.pause(0.0) == 0
    for turn in range(100):
        pacer.note(1, turn / 1000, turn / 1000 + 0.001)
        assert pacer.pause(turn / 1000 + 0.001) == 0


def test_a_busy_door_waits_a_moment() -> None:
    """After a turn with several calls the next one begins as much later as that turn took, up to a limit."""
    pacer = TurnPacer()
    pacer.note(8, 99.996, 100.0)
    assert pacer.pause(100.0) == pytest.approx(0.004)
    assert pacer.pause(100.003) == pytest.approx(0.001)
    assert pacer.pause(100.005) == 0
    pacer.note(1, 100.0, 100.03)
    assert pacer.pause(100.03) == LONGEST_PAUSE_SECONDS
    for turn in range(20):
        pacer.note(1, 100.03 + turn / 1000, 100.031 + turn / 1000)
    assert pacer.pause(100.05) == pytest.approx(0, abs=1e-9)


def test_a_pause_in_the_calls_ends_the_waiting() -> None:
    """A single call after a quiet moment is the first of a quiet door."""
    pacer = TurnPacer()
    pacer.note(64, 99.9, 100.0)
    pacer.note(1, 100.9, 101.0)
    assert pacer.pause(101.0) == 0
    pacer.note(64, 50.1, 50.0)  # a clock that goes back: the wait stays bounded
    assert 0 <= pacer.pause(1.0) <= LONGEST_PAUSE_SECONDS
