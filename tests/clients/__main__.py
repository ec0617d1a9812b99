"""Run every attempt against a live Doorward and print a line for each; exit 0 only if no failure is ours.

python -m tests.clients            all
python -m tests.clients pest swan  only clients with one of these words in their name
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.clients import acme, est, own
from tests.clients.attempts import exit_code
from tests.support.doorway import log_apart


def main(words: Sequence[str]) -> int:
    """Run the attempts of the named clients, or all."""
    every = (*est.ATTEMPTS, *acme.ATTEMPTS, *own.ATTEMPTS)
    chosen = [one for one in every if not words or any(w in one.client.lower() for w in words)]
    with log_apart(), est.est_door() as door:
        results = []
        for attempt in chosen:
            with tempfile.TemporaryDirectory() as folder:
                results.append(attempt.run(door, Path(folder)))
            print(results[-1].line(), flush=True)
    return exit_code(results)


if __name__ == "__main__":
    sys.exit(main([one.lower() for one in sys.argv[1:]]))
