"""The threads of the door take short turns in the interpreter."""

from __future__ import annotations

import inspect
import sys

import pytest

from doorward.runtime import gateway
from doorward.runtime.roles import SWITCH_SECONDS, take_short_turns


def test_a_thread_keeps_the_interpreter_for_a_short_time() -> None:
    """A cut makes many system calls, and waits for its turn after each of them."""
    usual = sys.getswitchinterval()
    try:
        take_short_turns()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert usual / 5 >= SWITCH_SECONDS or usual == pytest.approx(SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(usual)


def test_the_door_does_so_before_it_starts() -> None:
    """No thread of the gateway runs by then."""
    source = inspect.getsource(gateway.run_gateway)
    assert 0 < source.find("take_short_turns()") < source.find("gateway.start()")
