"""Commands at a door that stands: changes are confirmed, enrolment works, status is well."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.support.doorway import Doorway, Identity, Session, open_doorway


@pytest.fixture(scope="module")
def door(database_address: str) -> Iterator[Doorway]:
    """A door with an application for staff, on each kind of database."""
    with open_doorway(settings={"database": database_address}) as made:
        made.apply('- {allow: {groups: [staff]}, to: {paths: ["/reports/**"]}}')
        yield made


def do(door: Doorway, *words: str, code: int = 0) -> Any:
    """Run a command with --json; return its document."""
    result = door.command(*words, "--json")
    assert result.exit_code == code, (words, result.output, result.exception)
    return json.loads(result.stdout)


def enrolled(door: Doorway, name: str, *more: str) -> tuple[Path, dict[str, Any]]:
    """Add and invite a person, and enrol with the link; return the folder and the output."""
    do(door, "person", "add", name, "--group", "staff")
    out = door.folder / f"of-{name}"
    return out, do(door, "enroll", do(door, "invite", name)["link"], "--out", str(out), *more)


def test_status_is_well(door: Doorway) -> None:
    """If everything runs, status exits 0 and names no trouble."""
    value = do(door, "status")
    assert value["well"] is True
    assert door.command("status").exit_code == 0
    assert "✗" not in door.command("status").output


def test_verifying_says_what_it_cannot_check(door: Doorway) -> None:
    """If the pages of the database are not checked, the output says so."""
    result = door.command("audit", "verify")
    assert result.exit_code == 0, result.output
    assert ("pg_amcheck" in result.stderr) is bool(door.installation.settings.database)


def test_a_link_becomes_a_certificate(door: Doorway) -> None:
    """Enrolling writes key, chain and PKCS#12 file, closed to others; the password is said once and opens it."""
    out, value = enrolled(door, "ada")
    assert value["name"] == "ada"
    for name in ("key", "chain", "certificate", "root", "p12"):
        assert Path(value[name]).parent == out
    assert stat.S_IMODE(Path(value["key"]).stat().st_mode) == 0o600
    bundle = pkcs12.load_pkcs12(Path(value["p12"]).read_bytes(), value["p12_password"].encode())
    assert bundle.cert is not None
    with door.session(_identity(value)) as session:
        assert session.request("GET", "/reports/1").status == 200


def _identity(value: dict[str, Any]) -> Identity:
    return Identity(chain=Path(value["chain"]), key=Path(value["key"]))


def test_a_link_works_once(door: Doorway) -> None:
    """A link that was used is refused, and what was enrolled stays as it is."""
    do(door, "person", "add", "bea", "--group", "staff")
    link = do(door, "invite", "bea")["link"]
    out = door.folder / "of-bea"
    do(door, "enroll", link, "--out", str(out))
    before = {path: path.read_bytes() for path in out.iterdir()}
    again = door.command("enroll", link, "--out", str(out), "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"]["code"]
    other = door.folder / "of-bea-2"
    assert door.command("enroll", link, "--out", str(other), "--json").exit_code == 1
    assert not (other / "key.pem").exists()
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_enrolling_again_keeps_what_was_there(door: Doorway) -> None:
    """With --force the earlier certificate is set aside and named."""
    out, first = enrolled(door, "cyd", "--key", "ed25519")
    link = do(door, "invite", "cyd")["link"]
    refused = door.command("enroll", link, "--out", str(out))
    assert refused.exit_code == 1
    result = door.command("enroll", link, "--out", str(out), "--force", "--p12-legacy")
    assert result.exit_code == 0, result.output
    assert "what was there before" in result.output
    assert Path(first["key"]).exists()


def test_a_revocation_returns_when_it_is_enforced(door: Doorway) -> None:
    """`cert revoke` names the gateway that confirmed; by then the live connection has ended."""
    _, value = enrolled(door, "dot")
    certificate = do(door, "cert", "list", "--of", "dot")[0]["id"]
    with door.session(_identity(value)) as session:
        assert session.request("GET", "/reports/1").status == 200
        revoked = do(door, "cert", "revoke", certificate, "--reason", "key-compromise")
        assert revoked["confirmed_by"] == ["gateway-1"]
        assert revoked["away"] == []
        session.socket.settimeout(2)
        assert _status_of(session) != 200


def _status_of(session: Session) -> int:
    try:
        return session.request("GET", "/reports/1").status
    except (OSError, HTTPException):
        return 0


def test_a_change_says_how_long_it_took(door: Doorway) -> None:
    """For people the line names the gateway and the milliseconds."""
    do(door, "person", "add", "eve", "--group", "staff")
    text = door.command("person", "suspend", "eve").output
    assert "in force at gateway-1 after" in text
    assert "ms" in text


def test_a_policy_is_in_force_when_apply_returns(door: Doorway, tmp_path: Path) -> None:
    """After `apply` a request that the new document allows is answered."""
    _, value = enrolled(door, "fay")
    text = door.command("export").stdout.replace('paths: ["/reports/**"]', 'paths: ["/reports/**", "/more"]')
    assert "/more" in text
    (tmp_path / "p.yaml").write_text(text)
    applied = do(door, "apply", "-f", str(tmp_path / "p.yaml"))
    assert applied["confirmed_by"] == ["gateway-1"]
    assert door.get(_identity(value), "/more").status == 200
