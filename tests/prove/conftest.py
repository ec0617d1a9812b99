"""The long proofs run when they are asked for by name (`make prove`), not with every `pytest`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave them out unless an argument names this folder."""
    here = Path(__file__).parent
    named = [(config.invocation_params.dir / one.split("::")[0]).resolve() for one in config.args]
    return None if any(one.is_relative_to(here) for one in named) else True


@pytest.fixture(autouse=True)
def brisk_threads() -> Iterator[None]:
    """Let the threads of the clients take turns often: what is measured here is the door, not this interpreter."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)
