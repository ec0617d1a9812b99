"""What several integration tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.settings import Settings
from doorward.storage import keystore
from tests.support.doorway import ACTOR, short_folder
from tests.support.ports import FakeRandom


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a guess at the passphrase cheap: its cost is not what is tested here."""
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**10)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as sockets need it."""
    with short_folder() as made:
        yield made


@pytest.fixture
def installation(folder: Path, quick_keys: None) -> Iterator[Installation]:
    """A founded installation, unlocked, in which nothing runs."""
    settings = Settings(
        data=folder / "data",
        trust_domain="corp.example",
        status_listen=f"127.0.0.1:{free_port()}",
        passphrase_file=folder / "passphrase",
        user="nobody",
    )
    made = Installation(initialise(settings, FakeRandom(), actor=ACTOR).settings)
    made.unlock()
    yield made
    made.close()
