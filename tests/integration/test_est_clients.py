"""EST (RFC 7030) with other people's clients, through the door: curl with openssl, strongSwan's pki.

`make clients` runs the same attempts, the slow ones and those of clients that are in no package.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

import pytest

from tests.clients.attempts import Attempt, Outcome, exit_code
from tests.clients.est import HOST, QUICK
from tests.support.doorway import Doorway

pytestmark = [pytest.mark.xdist_group("est-clients"), pytest.mark.needs("openssl", "curl", "pki")]


@pytest.mark.parametrize("attempt", QUICK, ids=lambda one: f"{one.client}: {one.tried}")
def test_a_client_succeeds(est: Doorway, attempt: Attempt, tmp_path: Path) -> None:
    """What it gets opens the door."""
    attempt.act(est, tmp_path)


@pytest.mark.parametrize(
    ("request_line", "fields"),
    [
        ("GET /.well-known/est/cacerts", ["Content-Type: application/pkcs7-mime", "Content-Length: "]),
        ("POST /.well-known/est/simpleenroll", ["WWW-Authenticate: Basic ", "Content-Length: 0"]),
        ("GET /", ["Content-Length: "]),
    ],
)
def test_names_of_fields_are_spelled_as_in_the_rfcs(
    est: Doorway, request_line: str, fields: list[str]
) -> None:
    """libest, which is in the firmware of routers, compares them with case; the last answer is Envoy's own."""
    plain = socket.create_connection((HOST, est.port), 10)
    with est.context(None).wrap_socket(plain, server_hostname=HOST) as connection:
        request = f"{request_line} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        if request_line.startswith("POST"):
            request += "Content-Type: application/pkcs10\r\nContent-Length: 4\r\n\r\nMIIB"
        connection.sendall(request.encode() + (b"" if request.endswith("MIIB") else b"\r\n"))
        head = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[0].decode()
    for one in fields:
        assert f"\r\n{one}" in head


@pytest.mark.parametrize(
    ("program", "theirs", "outcome", "code"),
    [
        ("openssl", "", Outcome.OURS, 1),
        ("openssl", "it cannot count", Outcome.THEIRS, 0),
        ("no-such-program", "", Outcome.ABSENT, 0),
    ],
)
def test_only_our_faults_fail_the_run(
    tmp_path: Path, program: str, theirs: str, outcome: Outcome, code: int
) -> None:
    """A client that is absent, or is known to be wrong, is told and does not fail `make clients`."""

    def fail(_est: Doorway, _folder: Path) -> None:
        raise AssertionError("two\nlines")

    attempt = Attempt(
        client="x", programs=(program,), tried="y", act=fail, version=("openssl", "version"), theirs=theirs
    )
    result = attempt.run(cast("Doorway", None), tmp_path)
    assert (result.outcome, exit_code([result])) == (outcome, code)
    assert "\n" not in result.line()
