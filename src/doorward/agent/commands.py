"""Running a command of this machine: a list of arguments, no shell, a time limit, and the end of its output.

Nothing that a server said is an argument, a path or a variable of a command: only local paths and names from the
options are.
Standard: POSIX exec(3).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from doorward.agent.options import MAX_OUTPUT_BYTES, Finished

NOT_STARTED, TOO_LONG = 127, 124
"""The statuses that a shell and timeout(1) have for these two."""


def run_command(command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
    """Run a command and wait for it.

    Args:
        command: the program and its arguments.
        environment: added to the environment of this process.
        seconds: after this time the command is killed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are the user's own; see above
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finished(status=TOO_LONG, output=f"it did not end within {seconds:g} seconds")
    except (OSError, ValueError) as error:
        return Finished(
            status=NOT_STARTED, output=f"it cannot be started: {getattr(error, 'strerror', None) or error}"
        )
    return Finished(status=done.returncode, output=done.stdout[-MAX_OUTPUT_BYTES:].decode("utf-8", "replace"))
