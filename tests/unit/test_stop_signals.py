"""The event that a signal sets, in this process."""

from __future__ import annotations

import os
import signal

from doorward.stop_signals import stopping


def test_a_signal_sets_the_event_and_afterwards_all_is_as_before() -> None:
    """The handlers and the descriptor that Python writes to are those of before."""
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(60)
    assert stop.wait(), "a thread may outlive the stop"
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_second_signal_may_change_nothing() -> None:
    """The agent ends a step that it has begun, however often it is asked."""
    with stopping(at_once=None) as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(60)
