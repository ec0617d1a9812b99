"""What most unit tests begin with; a file whose world is another one defines its own `world`."""

from __future__ import annotations

import pytest

from tests.support.world import World, found_world


@pytest.fixture
def world() -> World:
    """A founded authority with people and a document in force."""
    return found_world()
