"""Bad requests for certificates and bad links: an error, no certificate, no key left."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from doorward.core.entities import PrincipalKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from tests.integration.bad_input.conftest import bad_requests, csr, refused
from tests.support.doorway import ACTOR, DOMAIN, Doorway

pytestmark = pytest.mark.xdist_group("bad-requests_and_links")

# requests for certificates


@pytest.mark.parametrize("kind", bad_requests())
def test_bad_requests_on_the_command_line(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A request that is none is a usage error, and no certificate is made."""
    path = tmp_path / "request"
    path.write_bytes(bad_requests()[kind])
    out = tmp_path / "chain.pem"
    certificate = door.certificate_of("alice")
    refused(door, "cert", "renew", certificate, "--csr", str(path), "--out", str(out), code=2)
    assert not out.exists()


def test_a_huge_request_on_the_command_line(door: Doorway, tmp_path: Path) -> None:
    """A file of any size is refused without being read whole."""
    path = tmp_path / "request"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    certificate = door.certificate_of("alice")
    assert refused(door, "cert", "renew", certificate, "--csr", str(path), code=2)["code"] == "file-too-large"


def ask(door: Doorway, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send a request to the enrolment door."""
    host = f"enroll.{DOMAIN}"
    plain = socket.create_connection(("127.0.0.1", door.port), 5)
    context = ssl.create_default_context(cafile=str(door.root))
    connection = HTTPSConnection(host, door.port, timeout=5)
    connection.sock = context.wrap_socket(plain, server_hostname=host)
    try:
        connection.request("POST", "/v1/certificates", body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def token(door: Doorway) -> str:
    """A token that is never used up by bad requests."""
    add_principal(door.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
    return invite(door.services, "mallory", lifetime=timedelta(hours=1), actor=ACTOR).token


@pytest.mark.parametrize("kind", bad_requests())
def test_bad_requests_at_the_enrolment_door(door: Doorway, token: str, kind: str) -> None:
    """A request that is none is refused in words of ours, without a trace, and the link stays good."""
    status, body = ask(
        door,
        bad_requests()[kind],
        {"Authorization": f"Bearer {token}", "Content-Type": "application/pkcs10"},
    )
    assert 400 <= status < 500, body
    assert b"Traceback" not in body
    assert json.loads(body)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer " + "a" * 43},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer " + "a" * 5000},
    ],
    ids=["none", "short", "unknown", "basic", "long"],
)
def test_bad_tokens_at_the_enrolment_door(door: Doorway, headers: dict[str, str]) -> None:
    """A malformed or unknown token gives nothing."""
    status, body = ask(door, csr(), {**headers, "Content-Type": "application/pkcs10"})
    assert 400 <= status < 500
    assert b"Traceback" not in body


def test_a_huge_body_at_the_enrolment_door(door: Doorway, token: str) -> None:
    """A body beyond the limit is cut off before it fills anything."""
    try:
        status, _ = ask(door, b"A" * (1 << 20), {"Authorization": f"Bearer {token}"})
    except (OSError, HTTPException):
        status = 413  # the door may hang up while the body is still coming
    assert status == 413


def test_a_request_that_stops_half_way(door: Doorway, token: str) -> None:
    """A client that announces more than it sends gets nothing and delays no other."""
    host = f"enroll.{DOMAIN}"
    context = ssl.create_default_context(cafile=str(door.root))
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", door.port), 5), server_hostname=host
    ) as secure:
        secure.sendall(
            f"POST /v1/certificates HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/pkcs10\r\nContent-Length: 1000\r\n\r\n".encode()
            + csr()[:100]
        )
    assert ask(door, b"x", {"Authorization": f"Bearer {token}"})[0] < 500


# links


def bad_links() -> dict[str, str]:
    """Links that are none."""
    good = f"https://enroll.{DOMAIN}:1/join#token={'t' * 43}&sha256={'ab' * 32}"
    return {
        "empty": "",
        "word": "alice",
        "truncated": good[:-10],
        "without a pin": good.partition("&")[0],
        "without a token": good.replace("t" * 43, ""),
        "plain http": good.replace("https", "http"),
        "another path": good.replace("/join", "/enter"),
        "a user": good.replace("enroll", "user@enroll"),
        "huge": good + "x" * 100_000,
        "control": good.replace("join", "join\r\nHost: x"),
        "port": good.replace(":1/", ":99999/"),
    }


@pytest.mark.parametrize("kind", bad_links())
def test_bad_links(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A malformed link is a usage error; no key is made and no server is asked."""
    out = tmp_path / "mine"
    refused(door, "enroll", bad_links()[kind], "--out", str(out), code=2)
    assert not out.exists()


def test_a_link_to_another_root(door: Doorway, tmp_path: Path) -> None:
    """If the door's root is not the one that the link names, nothing is sent and nothing is kept."""
    add_principal(door.services, PrincipalKind.PERSON, "trudy", actor=ACTOR)
    secret = invite(door.services, "trudy", lifetime=timedelta(hours=1), actor=ACTOR).token
    link = door.installation.enrolment_link(secret)
    out = tmp_path / "mine"
    result = door.command("enroll", link[:-64] + "00" * 32, "--out", str(out), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["error"]["code"]
    assert not (out / "chain.pem").exists()


def test_a_link_to_nowhere(door: Doorway, tmp_path: Path) -> None:
    """If no server answers, the error says so, and the command can be run again."""
    link = f"https://127.0.0.1:1/join#token={'t' * 43}&sha256={'ab' * 32}"
    out = tmp_path / "mine"
    refused(door, "enroll", link, "--out", str(out), code=3)
    assert not (out / "chain.pem").exists()
