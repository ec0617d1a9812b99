"""The roles as processes: the report that a process is ready."""

from __future__ import annotations

import os

import pytest


def test_saying_that_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness is one line on the named descriptor, once; any other value there does no harm."""
    from doorward.runtime.roles import READY_VARIABLE, say_ready

    reading, writing = os.pipe()
    monkeypatch.setenv(READY_VARIABLE, str(writing))
    say_ready()
    say_ready()
    assert os.read(reading, 100) == b"ready\n"
    assert READY_VARIABLE not in os.environ
    os.close(reading)
    for odd in ("", "x", "-1", "999999", "²"):
        monkeypatch.setenv(READY_VARIABLE, odd)
        say_ready()
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setenv(READY_VARIABLE, str(writing))
    say_ready()
