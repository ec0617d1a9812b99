"""What the settings say about ACME authorities, and what is wrong with the rest, told at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from doorward.core.errors import ConfigurationError
from doorward.runtime.acme.job import build_acme_options
from doorward.runtime.settings import Settings
from doorward.wire.acme import ChallengeKind

URL = "https://acme.example/directory"


def settings(folder: Path, **told: Any) -> Settings:
    """Return settings with a directory."""
    return Settings(data=folder, **{"acme_directory": URL, **told})


def test_the_usual_way_needs_nothing_else(tmp_path: Path) -> None:
    """The door shows what the authority wants to see."""
    found = build_acme_options(settings(tmp_path), "portal.corp.example")
    assert (found.directory, found.challenge, found.portal_host) == (URL, ChallengeKind.TLS_ALPN, "")
    found = build_acme_options(settings(tmp_path, portal_from_acme=True), "portal.corp.example")
    assert found.portal_host == "portal.corp.example"


def test_an_external_account_has_its_key_in_a_file(tmp_path: Path) -> None:
    """With padding and a line break, as people paste it; never in a representation."""
    file = tmp_path / "eab"
    file.write_text("c2VjcmV0c2VjcmV0c2VjcmV0IQ==\n")
    found = build_acme_options(settings(tmp_path, acme_eab_kid="k", acme_eab_key_file=file), "")
    assert found.eab_secret == b"secretsecretsecret!"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"acme_challenge": "http-01"}, "acme-listen-missing"),
        ({"acme_challenge": "dns-01"}, "acme-hook-missing"),
        ({"acme_eab_kid": "k", "acme_eab_key_file": "none"}, "acme-eab-key-unusable"),
        ({"acme_eab_kid": "k", "acme_eab_key_file": "short"}, "acme-eab-key-unusable"),
        ({"acme_eab_kid": "k", "acme_eab_key_file": "odd"}, "acme-eab-key-unusable"),
    ],
)
def test_what_lacks_is_told(tmp_path: Path, told: dict[str, Any], code: str) -> None:
    """With the setting that mends it."""
    (tmp_path / "short").write_text("c2hvcnQ")
    (tmp_path / "odd").write_text("ä!")
    if file := told.get("acme_eab_key_file"):
        told = {**told, "acme_eab_key_file": tmp_path / file}
    with pytest.raises(ConfigurationError) as error:
        build_acme_options(settings(tmp_path, **told), "")
    assert error.value.code == code


@pytest.mark.parametrize(
    "told",
    [
        {"acme_directory": "http://acme.example/d"},
        {"acme_contact": "nobody"},
        {"acme_eab_kid": "a b"},
        {"acme_eab_kid": "k"},
        {"acme_dns_hook": ["relative"]},
        {"acme_challenge": "device-attest-01"},
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, told: dict[str, Any]) -> None:
    """When the settings are read."""
    with pytest.raises(ValidationError):
        settings(tmp_path, **told)
