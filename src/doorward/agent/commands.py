"""Running a command of this machine: a list of arguments, no shell, a time limit, and the end of its output.

Only the command itself is waited for. A hook may start a service that runs on and holds the command's output open: its
words are read as long as this process lives, so that it is not ended by a closed pipe, and they are thrown away. If a
command takes too long, it is killed with the processes that it started.

Nothing that a server said is an argument, a path or a variable of a command: only local paths and names from the
options are.
Standard: POSIX exec(3).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from doorward.agent.options import MAX_OUTPUT_BYTES, NOT_STARTED, TOO_LONG, Finished

_BLOCK = 64 * 1024
_LAST_SECONDS = 1.0
"""After its end the words of a command are in the pipe already; only a process that runs on keeps it open."""


def run_command(command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
    """Run a command and wait for it.

    Args:
        command: the program and its arguments.
        environment: added to the environment of this process.
        seconds: after this time the command is killed.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the arguments are the user's own; see above
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0 if os.name == "posix" else None,
        )
    except (OSError, ValueError) as error:
        return Finished(
            status=NOT_STARTED, output=f"it cannot be started: {getattr(error, 'strerror', None) or error}"
        )
    assert process.stdout is not None
    reader = _Reader(process.stdout)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return Finished(status=TOO_LONG, output=f"it did not end within {seconds:g} seconds")
    except BaseException:
        _kill(process)
        raise
    return Finished(status=status, output=reader.words())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command that was not waited for, with the processes that it started and that stayed in its group."""
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:  # pragma: no cover - this branch needs Windows
            process.kill()
    process.wait()


class _Reader:
    """Reads a pipe to its end in a thread, and keeps the last 256 KiB."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="command output", daemon=True)
        self._thread.start()

    def words(self) -> str:
        """Return what was written until now; wait for the end of the pipe, but not longer than a second."""
        self._thread.join(_LAST_SECONDS)
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        with self._pipe as pipe:
            while block := os.read(pipe.fileno(), _BLOCK):
                self._kept = (self._kept + block)[-MAX_OUTPUT_BYTES:]
