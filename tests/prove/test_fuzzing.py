"""No input from outside crashes, stalls or confuses a parser: more than an hour of broken inputs for all of them.

Each target runs twice at once, with two seeds, each in a process of its own that its limits may kill.
DOORWARD_FUZZ_SECONDS is the time of all processes together; DOORWARD_FUZZ_SEED begins elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fuzzing.table import TARGETS

ROOT = Path(__file__).parents[2]
TOTAL_SECONDS = float(os.environ.get("DOORWARD_FUZZ_SECONDS", "4500"))
SEED = int(os.environ.get("DOORWARD_FUZZ_SEED", "1"))
SIDES = 2
START_SECONDS = 120.0
"""For imports, keys and sound inputs, and the longest that one input may take."""
KEPT = ROOT / "build" / "fuzzing"


def _start(name: str, seed: int, seconds: float) -> tuple[subprocess.Popen[str], Path]:
    kept = KEPT / f"{name}-{seed}"
    command = ["-m", "tests.support.fuzzing", name, "--seed", str(seed)]
    command += ["--seconds", str(seconds), "--input", str(kept)]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, kept


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_bears_whatever_comes(name: str) -> None:
    """No crash, no hang, no exception but ours; the failing input stays in a file, to be tried again."""
    KEPT.mkdir(parents=True, exist_ok=True)
    seconds = TOTAL_SECONDS / (SIDES * len(TARGETS))
    running = [_start(name, SEED + side, seconds) for side in range(SIDES)]
    failures = []
    for process, kept in running:
        try:
            said, words = process.communicate(timeout=seconds + 2 * START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, words = process.communicate()
        if process.returncode != 0:
            again = f"{sys.executable} -m tests.support.fuzzing {name} --replay {kept}"
            failures.append(f"ended with {process.returncode}; try it again: {again}\n{words[-4000:]}")
            continue
        kept.unlink()
        tally = json.loads(said)
        assert tally["kept"] > 1, "nothing was learnt from any input: the target does not reach its parser"
        figures = ", ".join(f"{word} {value:.3g}" for word, value in tally.items())
        print(f"\n{name}: {figures}", end="")
    assert not failures, "\n".join(failures)
