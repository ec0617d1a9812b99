"""What all tests share: outside programs that a test needs.

A missing program skips the tests that need it, with a line that says so; with CI=true it fails them,
so that a green run cannot hide what was never run.
"""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test whose `needs` marker names a program that is not here."""
    wanted = [str(program) for marker in item.iter_markers("needs") for program in marker.args]
    missing = [program for program in wanted if shutil.which(program) is None]
    if not missing:
        return
    words = f"not installed: {', '.join(missing)}"
    if os.environ.get("CI") == "true":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)
