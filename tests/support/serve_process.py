"""`doorward serve` as a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from doorward.runtime.compose import Installation
from tests.support.commands import SOURCE

STOP_SECONDS = 60.0


@contextmanager
def serve_process(
    installation: Installation, settings: Mapping[str, object]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start it with these settings as variables; at the end it is asked to stop, if it runs yet.

    What it says goes into `serve.log` beside the data directory.
    """
    data = installation.layout.data
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    given = {f"DOORWARD_{name.upper()}": str(value) for name, value in settings.items()}
    with serve_log(installation).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "doorward.cli", "serve", "--data", str(data)],
            env={**kept, "PYTHONPATH": SOURCE, **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


def serve_log(installation: Installation) -> Path:
    """Return the file with what it says."""
    return installation.layout.data.parent / "serve.log"
