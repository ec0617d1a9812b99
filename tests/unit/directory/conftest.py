"""What the tests of the directory share."""

from __future__ import annotations

import pytest

from tests.support.factor_world import FactorWorld
from tests.support.world import found_world


@pytest.fixture
def people() -> FactorWorld:
    """A founded authority; its people may have second factors."""
    return found_world(FactorWorld)
