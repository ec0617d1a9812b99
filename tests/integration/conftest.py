"""What integration tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward.runtime.compose import Installation
from tests.support import doorway
from tests.support.doorway import founded


@pytest.fixture
def quick_keys() -> Iterator[None]:
    """Make a guess at the passphrase cheap: its cost is not what is tested."""
    with doorway.quick_keys():
        yield


@pytest.fixture
def installation(quick_keys: None) -> Iterator[Installation]:
    """A founded installation, unlocked, in which nothing runs."""
    with founded(trust_domain="corp.example") as made:
        yield made
