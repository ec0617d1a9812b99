"""Fixtures of most unit tests; a file that needs another world defines its own `world`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.partner_site import PartnerSite, partner_site
from tests.support.world import World, found_world


@pytest.fixture
def world() -> World:
    """A founded authority with people and a document in force."""
    return found_world()


@pytest.fixture
def site() -> PartnerSite:
    """A partner with all of its people let in."""
    return partner_site(everyone=True)


@pytest.fixture
def generous_umask() -> Iterator[None]:
    """A umask that closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)
