"""What the tests of Envoy's log share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.access_log import Log
from tests.support.world import empty_world


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    made = Log(empty_world(), tmp_path)
    made.start()
    return made
