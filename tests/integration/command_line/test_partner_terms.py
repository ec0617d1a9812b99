"""`doorward ca import --replace` says which terms change before anything does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.command_line.conftest import Site
from tests.support.path_ca import certify


@pytest.fixture
def anchor(tmp_path: Path) -> str:
    """The file of a partner's root."""
    now = datetime.now(UTC).replace(microsecond=0)
    file = tmp_path / "clinic.der"
    file.write_bytes(
        certify("Clinic", not_before=now - timedelta(days=1), not_after=now + timedelta(days=99)).der
    )
    return str(file)


def test_what_is_not_said_anew_is_told(site: Site, anchor: str) -> None:
    """Terms that fall back to their defaults stand in the report, for people and as JSON; the same terms are none."""
    words = (
        "ca",
        "import",
        "clinic",
        anchor,
        "--domain",
        "clinic.example",
        "--permit",
        "email:clinic.example",
    )
    assert site.do(*words, "--group", "clinicians", "--yes")["changes"] == []
    assert site.do(*words, "--group", "clinicians", "--replace", "--check")["changes"] == []
    bare = ("ca", "import", "clinic", anchor, "--everyone", "--replace", "--check")
    assert site.do(*bare)["changes"] == [
        {"term": "domain", "before": "clinic.example", "after": ""},
        {"term": "groups", "before": ["clinicians"], "after": []},
        {"term": "everyone", "before": False, "after": True},
        {"term": "permitted", "before": ["email:clinic.example"], "after": []},
    ]
    said = site.say(*bare)
    assert "changes  domain: clinic.example → none" in said
    assert "changes  everyone: no → yes" in said
    assert "nothing was changed" in said
    assert site.do("ca", "show", "clinic")["domain"] == "clinic.example"
    assert (
        site.do("ca", "import", "other", anchor, "--replace", "--check", code=1)["code"] == "partner-unknown"
    )


def test_the_next_step_is_legible(site: Site, anchor: str) -> None:
    """What to write into the document stands there as it is to be written."""
    assert "trust: [own, clinic]" in site.say("ca", "import", "clinic", anchor, "--yes")
