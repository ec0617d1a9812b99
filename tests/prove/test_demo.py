"""The demo as a newcomer plays it: one command, and less than a minute on a machine that does nothing else."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.support.commands import run_program

MOST_SECONDS = 60.0


def test_the_story_is_told_in_a_minute() -> None:
    """The whole story by the program itself, with its start and its end."""
    kept = {name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "TMPDIR"}}
    environment = {**kept, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    began = time.monotonic()
    done = run_program(["/bin/sh", "-c", "doorward demo --once"], env=environment, timeout=300)
    took = time.monotonic() - began
    print(f"\n  the story of the little bank: {took:.1f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert took < MOST_SECONDS
