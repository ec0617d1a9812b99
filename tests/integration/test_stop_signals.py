"""Stopping a program by signals, whatever its threads do when a signal arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.commands import SOURCE, run_python


def said_by(script: str) -> tuple[int, str]:
    """Run a script; return its exit status, and what it said. One that does not end within a minute fails the test."""
    done = run_python("-c", script, timeout=60)
    return done.returncode, done.stdout


def test_a_second_signal_ends_at_once() -> None:
    """The first signal asks, the second one ends the process with its number."""
    script = (
        "import time\nfrom doorward.stop_signals import stopping\n"
        "with stopping(at_once=lambda: print('abandoned', flush=True)) as stop:\n"
        "    print('ready', flush=True)\n    stop.wait()\n    print('asked', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "abandoned\n"
        assert process.wait(30) == 128 + signal.SIGINT


def test_the_first_signal_after_the_event_was_set_does_not_count_as_the_second() -> None:
    """A program that could not start sets the event itself, and must still be able to clean up."""
    script = (
        "import os, signal\nfrom doorward.stop_signals import stopping\n"
        "with stopping() as stop:\n"
        "    stop.set()\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('cleaned up', flush=True)\n"
    )
    assert said_by(script) == (0, "cleaned up\n")


def test_a_closed_terminal_asks_to_end_however_often() -> None:
    """The shell and the kernel may both send SIGHUP: the program must still be able to end its parts."""
    script = (
        "import os, signal\nfrom doorward.stop_signals import stopping\n"
        "with stopping() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n    stop.wait()\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n    print('asked', flush=True)\n"
    )
    assert said_by(script) == (0, "asked\n")


def test_under_nohup_the_end_of_the_terminal_changes_nothing() -> None:
    """A program that was told to ignore SIGHUP goes on."""
    script = (
        "import os, signal\nfrom doorward.stop_signals import stopping\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stopping() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n    print(stop.wait(0.1), flush=True)\n"
    )
    assert said_by(script) == (0, "False\n")


def test_a_signal_ends_the_wait_at_any_moment() -> None:
    """A signal may arrive while the wait holds a lock: the handler must not need that lock."""
    script = (
        "import os, signal, threading\nfrom doorward.stop_signals import stopping\n"
        "real = threading.Condition.wait\n"
        "def wait(condition, timeout=None):\n"
        "    if threading.current_thread() is threading.main_thread():\n"  # the timer waits, too
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return real(condition, timeout)\n"
        "with stopping() as stop:\n"
        "    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()\n"
        "    threading.Condition.wait = wait\n    stop.wait()\n    print('asked', flush=True)\n"
    )
    assert said_by(script) == (0, "asked\n")


def test_a_signal_that_another_thread_gets_ends_the_wait() -> None:
    """The kernel may give it to another thread. Then the main thread's wait is not interrupted, and must end all the same."""
    script = (
        "import signal, threading\nfrom doorward.stop_signals import stopping\n"
        "def send():\n    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "with stopping() as stop:\n"
        "    threading.Timer(0.5, send).start()\n    stop.wait()\n    print('asked', flush=True)\n"
    )
    assert said_by(script) == (0, "asked\n")
