"""How many examples a property is tried with: a quarter in `make test`, all of them in `make prove`."""

from __future__ import annotations

import os

ALL = "TESTS_WITH_ALL_EXAMPLES"
"""The environment variable by which `make prove` asks for all of them."""

FEWEST = 50


def examples(count: int) -> int:
    """Return how many of `count` examples are tried in this run."""
    if os.environ.get(ALL):
        return count
    return min(count, max(FEWEST, count // 4))
