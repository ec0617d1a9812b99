"""Every parser of the fuzzer's table bears a few hundred broken inputs; `make prove` takes an hour for it."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import pytest

from doorward.core.errors import MalformedInput
from tests.support.certificates.issuing import toy_ca
from tests.support.commands import run_program
from tests.support.fuzzing.engine import Broken, answer_of, take_out, try_some
from tests.support.fuzzing.mutating import LARGEST, Shape, mutate
from tests.support.fuzzing.table import TARGETS
from tests.support.fuzzing.targets import Harness

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_bears_some_of_what_may_come(name: str) -> None:
    """Broken inputs give values or errors of ours; so do the sound ones that they are made of."""
    assert try_some(TARGETS[name], seed=7, count=150) > 150


@pytest.mark.parametrize("shape", Shape)
def test_inputs_repeat_with_their_seed(shape: Shape) -> None:
    """One seed makes the same inputs twice, of bounded size, and most of them are new."""
    corpus = (toy_ca().der, b'{"a": [1, "b"]}')
    runs = []
    for _ in range(2):
        source = random.Random(3)
        runs.append([mutate(source.choice(corpus), corpus, shape, source) for _ in range(300)])
    assert runs[0] == runs[1]
    assert max(map(len, runs[0])) <= LARGEST
    assert len(set(runs[0])) > 200


def test_what_is_not_ours_breaks_the_rule() -> None:
    """An exception of another kind is a failure, and so is a failed assertion; ours and allowed ones are answers."""

    def judge(data: bytes) -> object:
        raise {b"m": MalformedInput("c", "d"), b"k": KeyError("k"), b"v": ValueError("v")}.get(
            data, SystemExit()
        )

    harness = Harness(seeds=(b"m",), judge=judge, allowed=(ValueError,))
    assert answer_of(harness, b"m").startswith("MalformedInput c")
    assert answer_of(harness, b"v") == "ValueError"
    for other in (b"k", b"x"):
        with pytest.raises(Broken):
            answer_of(harness, other)


_STALL = """
from pathlib import Path
from tests.support.fuzzing import engine
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

def judge(data):
    while data == b"stall":
        pass

harness = Harness(seeds=(b"stall",), judge=judge)
target = Target(name="x", covers=(), shape=Shape.TEXT, prepare=lambda: harness, cpu_seconds=0.2)
engine.search(target, seed=1, seconds=0, kept_in=Path({kept!r}))
"""


def test_a_stalled_parser_is_killed_and_its_input_kept(tmp_path: Path) -> None:
    """The process dies of its limit, its stack is told, and the file holds what it was given."""
    kept = tmp_path / "kept"
    program = _STALL.format(kept=str(kept))
    done = run_program([sys.executable, "-c", program], cwd=ROOT)
    assert done.returncode == -signal.SIGPROF, done.stderr
    assert "in judge" in done.stderr
    assert take_out(kept) == b"stall"
