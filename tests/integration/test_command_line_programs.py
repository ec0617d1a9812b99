"""The command line as a program: its executable, its signals, its streams, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from tests.support.commands import run_program
from tests.support.doorway import eventually, short_folder

PROGRAM = Path(sys.executable).parent / "doorward"
COMMAND = [str(PROGRAM)] if PROGRAM.exists() else [sys.executable, "-m", "doorward.cli"]
ROOT = Path(__file__).parents[2]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of the program, with an installation of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "src"),
        "DOORWARD_DATA": str(folder / "data"),
        "DOORWARD_PASSPHRASE_FILE": str(folder / "passphrase"),
        "DOORWARD_GATEWAY_LISTEN": f"127.0.0.1:{free_port()}",
        "DOORWARD_STATUS_LISTEN": f"127.0.0.1:{free_port()}",
        "DOORWARD_USER": "nobody",
        **more,
    }


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return run_program([*COMMAND, *words], env=environment(folder, **more))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An installation."""
    with short_folder() as made:
        made.chmod(0o711)
        done = run(made, "init", "--trust-domain", "corp.example", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["trust_domain"] == "corp.example"
        yield made


def test_the_version() -> None:
    """The program says what it is."""
    done = run_program([*COMMAND, "--version"])
    assert done.returncode == 0
    assert done.stdout.startswith("doorward")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["person", "list"], 0),
        (["person", "show", "nobody"], 1),
        (["person", "shw"], 2),
        (["person", "add", "No Name"], 2),
        (["status"], 3),
        (["audit", "export", "--out", "/nowhere/x"], 3),
    ],
)
def test_exit_codes(folder: Path, words: list[str], code: int) -> None:
    """The class of an error is the exit code of the program; with --json there is one document."""
    plain, document = run(folder, *words), run(folder, *words, "--json")
    assert plain.returncode == document.returncode == code, plain.stderr
    json.loads(document.stdout)
    assert "Traceback" not in plain.stderr + document.stderr
    if code not in {0, 3}:
        assert plain.stdout == ""


def test_a_second_init_is_refused(folder: Path) -> None:
    """An installation of this version is left alone, and a setting that was founded otherwise is named."""
    for words, part in (((), "has an installation"), (("--trust-domain", "other.example"), "trust_domain")):
        done = run(folder, "init", *words, "--json")
        assert done.returncode == 1
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "already-initialised"
        assert part in error["detail"]
        assert "already" in run(folder, "init", *words).stderr


def test_a_broken_pipe_is_quiet(folder: Path) -> None:
    """A reader that goes away ends the program without a trace."""
    for name in ("one", "two", "three"):
        assert run(folder, "group", "create", name).returncode == 0
    shell = f"{' '.join(COMMAND)} ca export --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = run_program(["bash", "-c", shell], env=environment(folder))
    assert "Traceback" not in done.stderr
    assert len(done.stdout) == 10


def rests(pid: int) -> bool:
    """Whether a process sleeps for most of a second: it has started. One that waits for a processor does not sleep."""
    states = []
    for _ in range(20):
        states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0])
        threading.Event().wait(0.05)
    return states.count("S") >= 15


def test_following_the_log_until_ctrl_c(folder: Path) -> None:
    """`audit tail --follow` goes on with what comes, and ends quietly at Ctrl-C."""
    with subprocess.Popen(
        [*COMMAND, "audit", "tail", "--follow", "-n", "0"],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        try:
            # No event is sequenced while `serve` is down, so nothing comes; the command must run until it is told to end.
            assert eventually(lambda: tail.poll() is not None or rests(tail.pid))
            assert not eventually(lambda: tail.poll() is not None, 2.0)
            tail.send_signal(signal.SIGINT)
            out, err = tail.communicate(timeout=60)
        finally:
            tail.kill()  # where it did not end, the block would wait for ever
        assert tail.returncode == 128 + signal.SIGINT
        assert (out, err) == ("", "")


def test_ctrl_c_in_the_midst_of_a_command(folder: Path) -> None:
    """A command that is broken off says so in one line, without a trace, with the exit code of shells."""
    fifo = folder / "document"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [*COMMAND, "diff", "-f", str(fifo)],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            writers: list[int] = []

            def it_reads() -> bool:
                with suppress(OSError):  # no reader yet
                    writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
                return bool(writers)

            assert eventually(it_reads)
            out = err = None
            while err is None:  # one that comes just before read(2) begins is seen at the next only
                command.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    out, err = command.communicate(timeout=10)
            os.close(writers[0])
        finally:
            command.kill()
        assert command.returncode == 128 + signal.SIGINT
        assert out == ""
        assert err == "interrupted: the command was not finished\n"
