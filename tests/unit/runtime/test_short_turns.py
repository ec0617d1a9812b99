"""Short turns in the interpreter; `tests/integration/test_short_turns.py` shows that the running door takes them."""

from __future__ import annotations

import sys

import pytest

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
