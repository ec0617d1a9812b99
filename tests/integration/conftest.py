"""Fixtures of the integration tests: a founded installation, and a compiled door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward.runtime.compose import Installation
from tests.clients.est import est_door
from tests.support import doorway
from tests.support.compiled_door import CompiledDoor, standing_door
from tests.support.door_site import CLEARED, TELLER
from tests.support.doorway import Doorway, founded
from tests.support.envoy_process import facts_of


@pytest.fixture
def quick_keys() -> Iterator[None]:
    """Make a guess at the passphrase cheap: its cost is not what is tested."""
    with doorway.quick_keys():
        yield


@pytest.fixture
def installation(quick_keys: None) -> Iterator[Installation]:
    """A founded installation, unlocked, in which nothing runs."""
    with founded(trust_domain="corp.example", gateway_listen="0.0.0.0:8443") as made:
        yield made


@pytest.fixture(scope="session")
def as_compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompiledDoor]:
    """One door as compiled for all files of this process."""
    with standing_door(tmp_path_factory.mktemp("door")) as door:
        yield door


@pytest.fixture
def door(as_compiled: CompiledDoor) -> CompiledDoor:
    """The door as compiled, with a teller in front of it; files with another kind of door define their own."""
    as_compiled.authorizer.answers = {}
    as_compiled.authorizer.facts = facts_of(TELLER, CLEARED)
    return as_compiled


@pytest.fixture(scope="session")
def est() -> Iterator[Doorway]:
    """A door with an EST host; its files share one group of workers."""
    with est_door() as opened:
        yield opened
