"""Running a command: its own end counts, not that of what it started."""

from __future__ import annotations

import time
from pathlib import Path

from doorward.agent.commands import run_command
from doorward.agent.options import MAX_OUTPUT_BYTES, NOT_STARTED, TOO_LONG, Finished


def run(script: str, seconds: float = 60, **environment: str) -> Finished:
    """Run a script of the shell."""
    return run_command(["sh", "-c", script], environment=environment, seconds=seconds)


def test_a_command_has_a_status_and_words() -> None:
    """One line for people, without what would control a terminal."""
    missing = run_command(["/nothing/here"], environment={}, seconds=5)
    assert missing.status == NOT_STARTED
    assert "cannot be started" in missing.last_words
    spoken = run('echo "$WORD"; printf "a\\033[2Jb\\n"', WORD="$(id)")
    assert (spoken.status, spoken.last_words, spoken.ending) == (0, "$(id) a[2Jb", "ended with status 0")


def test_a_process_that_runs_on_does_not_make_its_command_fail(tmp_path: Path) -> None:
    """The hook has ended; its child holds the output open, is not killed, and can still write."""
    script = '(while [ ! -e "$STOP" ]; do echo on; sleep 0.02; done; touch "$DONE") & echo started'
    stop, done = tmp_path / "stop", tmp_path / "done"
    finished = run(script, STOP=str(stop), DONE=str(done))
    assert finished.status == 0
    assert "started" in finished.output
    stop.touch()
    until = time.monotonic() + 30
    while not done.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert done.exists()


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """The children of its group go too, and people read that it was killed."""
    pid = tmp_path / "pid"
    finished = run('sleep 600 & echo $! > "$PID"; wait', seconds=1, PID=str(pid))
    assert (finished.status, finished.ending) == (TOO_LONG, "was killed because it took too long")
    state = Path("/proc", pid.read_text().strip(), "stat")
    until = time.monotonic() + 30
    while state.exists() and " Z " not in _read(state) and time.monotonic() < until:
        time.sleep(0.01)
    assert not state.exists() or " Z " in _read(state)


def test_a_signal_is_named() -> None:
    """Not `status -9`."""
    assert run("kill -9 $$").ending == "was ended by the signal SIGKILL"
    assert Finished(status=-99).ending == "was ended by the signal 99"


def test_the_end_of_much_output_is_kept() -> None:
    """A hook that writes without end does not fill the memory."""
    finished = run("yes | head -c 3000000; echo last words")
    assert len(finished.output) <= MAX_OUTPUT_BYTES
    assert finished.last_words.endswith("last words")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return " Z "
