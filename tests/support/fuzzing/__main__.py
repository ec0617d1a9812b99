"""One target of the fuzzer in this process.

python -m tests.support.fuzzing TARGET --seed N --seconds S --input FILE    search
python -m tests.support.fuzzing TARGET --replay FILE                        try the input of a failure again
python -m tests.support.fuzzing --list                                      the targets
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict
from pathlib import Path

from tests.support.fuzzing.engine import answer_of, search, take_out
from tests.support.fuzzing.table import TARGETS


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzzing")
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--input", type=Path, default=Path("build/fuzzing-input"))
    parser.add_argument("--replay", type=Path)
    words = parser.parse_args()
    if words.list or words.target is None:
        print("\n".join(TARGETS))
        return
    target = TARGETS[words.target]
    if words.replay is not None:
        warnings.simplefilter("ignore")
        print(answer_of(target.prepare(), take_out(words.replay)))
        return
    words.input.parent.mkdir(parents=True, exist_ok=True)
    tally = search(target, seed=words.seed, seconds=words.seconds, kept_in=words.input)
    print(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
