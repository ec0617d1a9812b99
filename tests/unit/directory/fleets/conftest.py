"""What the tests of fleets share."""

from __future__ import annotations

import pytest

from tests.support.factory import Factory, import_factory
from tests.support.world import World


@pytest.fixture
def factory(world: World) -> Factory:
    """A factory that is imported as the manufacturer `acme`."""
    return import_factory(world)
