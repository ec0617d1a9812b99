"""Programs that tests run to their end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOURCE = str(Path(__file__).parents[2] / "src")


def run_program(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program without input and keep what it writes, as text; `options` as of `subprocess.run`."""
    given = {"capture_output": True, "text": True, "timeout": 120, **options}
    if "input" not in given:
        given.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(command, check=given.pop("check", False), **given)


def run_python(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, which finds Doorward's source."""
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    return run_program([sys.executable, *words], **{"env": environment, **options})


def run_openssl(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run openssl; both outputs, as bytes, in `stdout`."""
    return subprocess.run(
        ["openssl", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
