"""What `up` makes and refuses before anything runs (`runtime.starting`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from doorward.core.errors import DoorwardError
from doorward.runtime.compose import Installation
from doorward.runtime.settings import Settings, load_settings
from doorward.runtime.starting import DEFAULT_DOMAIN, Prepared, bring_up_to_date, prepare_up
from tests.unit.cli.conftest import Site


def prepare(data: Path, given: Mapping[str, str]) -> Prepared:
    """Do what `up` does first."""

    def read(named: Mapping[str, str]) -> Settings:
        environ = {
            "DOORWARD_PASSPHRASE_FILE": str(data.parent / "passphrase"),
            "DOORWARD_USER": "nobody",
            "DOORWARD_GATEWAY_LISTEN": "127.0.0.1:9",  # where no test listens
        }
        return load_settings(environ=environ, data=data, **named)

    installation = Installation(read({}))
    if not installation.layout.founded.exists():
        installation.layout.create()
    try:
        return prepare_up(installation, read, given, actor="os:0")
    finally:
        installation.close()


def test_a_first_start_without_a_domain_is_for_this_machine(folder: Path) -> None:
    """It is said that one was chosen, and the running parts get it too; the next start makes nothing."""
    ready = prepare(folder / "data", {})
    assert ready.domain_chosen
    assert ready.given["trust_domain"] == ready.settings.trust_domain == DEFAULT_DOMAIN
    assert ready.made is not None
    assert ready.made.tenant.trust_domain == DEFAULT_DOMAIN
    again = prepare(folder / "data", {})
    assert (again.made, again.domain_chosen) == (None, False)


def test_a_first_start_with_a_domain(folder: Path) -> None:
    """It is kept; another one is refused from then on."""
    ready = prepare(folder / "data", {"trust_domain": "corp.example"})
    assert ready.made is not None
    assert (ready.made.tenant.trust_domain, ready.domain_chosen) == ("corp.example", False)
    with pytest.raises(DoorwardError) as refused:
        prepare(folder / "data", {"trust_domain": "other.example"})
    assert "corp.example" in refused.value.detail


def test_an_option_that_says_otherwise_updates_nothing(site: Site) -> None:
    """`init` in a data directory that has an installation refuses what its founding fixed otherwise."""
    installation = Installation(load_settings(environ={}, data=site.data))
    with pytest.raises(DoorwardError) as refused:
        bring_up_to_date(
            installation, lambda _given: installation.settings, {"trust_domain": "other.example"}
        )
    assert "corp.example" in refused.value.detail
    installation.close()
