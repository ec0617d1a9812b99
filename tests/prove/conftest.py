"""The long proofs run when they are asked for by name (`make prove`), not with every `pytest`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.acme_authorities import program, run_apart

INSIDE = "DOORWARD_INSIDE_NETWORK"
INSIDE_SECONDS = 3600.0


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


@pytest.fixture
def is_inside(request: pytest.FixtureRequest, tmp_path: Path) -> bool:
    """Return True in a network of our own; outside, run this one test again in one, and take its result."""
    if INSIDE in os.environ:
        return True
    if os.geteuid():
        pytest.skip("only root can make a network of its own")
    for name in ("pebble", "caddy"):
        if name in request.node.nodeid:
            program(name)
    options = ["-q", "-s", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=3900"]
    test = [sys.executable, "-m", "pytest", *options, request.node.nodeid]
    done = run_apart(test, tmp_path, environ={INSIDE: "1"}, seconds=INSIDE_SECONDS)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return False
