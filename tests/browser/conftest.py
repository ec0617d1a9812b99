"""Walks of real browsers through a real door: what they need, and that no script of a page failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.doorway import Doorway, Identity, is_root, open_doorway

HERE = Path(__file__).parent
BANK = """
- name: people look around
  allow: {kind: person}
  to: {paths: [/, "/open/**"]}
- name: transfers need a passkey
  allow: {kind: person}
  to: {paths: ["/transfers/**"]}
  require: {factor: webauthn, within: 5m}
- name: accounts need any factor
  allow: {kind: person}
  to: {paths: ["/accounts/**"]}
  require: {factor: any}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip as an ordinary user: only root may write Chromium's managed policy."""
    if not is_root():
        for item in items:
            if item.path.parent == HERE:
                item.add_marker(pytest.mark.skip(reason="only root may write Chromium's managed policy"))


@pytest.fixture(scope="session")
def door() -> Iterator[Doorway]:
    """A bank for all files of this process: people look around, transfers need a passkey, accounts any factor."""
    with open_doorway(settings={"root_is_deployed": True}) as running:
        running.apply(BANK, app="bank", on_refusal="page")
        yield running


@pytest.fixture(scope="session")
def alice(door: Doorway) -> Identity:
    """A person with a certificate."""
    return door.person("alice")
