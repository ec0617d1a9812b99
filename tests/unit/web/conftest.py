"""What the tests of web surfaces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward.web.pool import UseCasePool
from tests.support.assertions import AssertedDoor
from tests.support.portal import PortalBrowser
from tests.support.world import Held, World


@pytest.fixture
def pool() -> Iterator[UseCasePool]:
    """A small pool."""
    small = UseCasePool(workers=2)
    yield small
    small.close()


@pytest.fixture
def door(world: World) -> AssertedDoor:
    """A registered gateway."""
    return AssertedDoor(world=world)


@pytest.fixture
def alice(world: World) -> Held:
    """Alice's certificate."""
    return world.issue("alice")


@pytest.fixture
def portal(world: World, pool: UseCasePool) -> Iterator[PortalBrowser]:
    """The portal, on one event loop."""
    made = PortalBrowser(world=world, pool=pool)
    with made.client:
        yield made
