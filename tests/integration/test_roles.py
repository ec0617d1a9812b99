"""The roles as processes: signals, and the report that a process is ready."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.walkthrough import ROOT


def test_a_second_signal_ends_at_once() -> None:
    """The first signal asks, the second one ends the process with its number."""
    script = (
        "import time\nfrom doorward.runtime.roles import stopping\n"
        "with stopping(at_once=lambda: print('abandoned', flush=True)) as stop:\n"
        "    print('ready', flush=True)\n    stop.wait()\n    print('asked', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "abandoned\n"
        assert process.wait(30) == 128 + signal.SIGINT


def test_a_signal_ends_the_wait_at_any_moment() -> None:
    """A signal may arrive while the wait holds a lock: the handler must not need that lock."""
    script = (
        "import os, signal, threading\nfrom doorward.runtime.roles import stopping\n"
        "real = threading.Condition.wait\n"
        "def wait(condition, timeout=None):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    return real(condition, timeout)\n"
        "with stopping() as stop:\n"
        "    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()\n"
        "    threading.Condition.wait = wait\n    stop.wait()\n    print('asked', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as process:
        try:
            assert process.communicate(timeout=60)[0].startswith("asked\n")
        finally:
            process.kill()


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
