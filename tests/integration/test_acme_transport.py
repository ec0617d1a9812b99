"""HTTPS to an ACME server: only with a verified certificate, only to where it may go, and never further."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.authority.acme.ports import AcmeRefusal
from doorward.core.addresses import parse_address
from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.runtime.acme.transport import HttpsTransport, client_context
from doorward.wire.acme import MAX_ANSWER_BYTES
from tests.support.acme_server import AcmeServer, running_acme_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AcmeServer]:
    """A strict server."""
    with running_acme_server(tmp_path) as running:
        yield running


def transport(context: ssl.SSLContext, **options: object) -> HttpsTransport:
    """Return a transport."""
    return HttpsTransport(context, **{"is_ours": lambda *_: False, **options})  # type: ignore[arg-type]


def test_an_answer_has_the_fields_of_the_protocol(server: AcmeServer) -> None:
    """A nonce by HEAD, a body by GET, and a problem with its status."""
    asked = transport(client_context(server.root_file))
    assert asked.send("HEAD", f"{server.url}/new-nonce").fields["replay-nonce"] in server.nonces
    directory = asked.send("GET", server.directory)
    assert (directory.status, directory.body[:1]) == (200, b"{")
    assert asked.send("POST", f"{server.url}/new-order", b"{}").status == 400


def test_a_server_that_is_not_trusted_is_not_asked(server: AcmeServer) -> None:
    """The system's roots do not know it."""
    with pytest.raises(AcmeRefusal, match="no valid certificate") as error:
        transport(client_context(None)).send("GET", server.directory)
    assert error.value.is_network
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://127.0.0.1:1/d", {}, "without TLS"),
        ("https://127.0.0.1:1/d", {}, "cannot be reached"),
        ("https://127.0.0.1:1/d", {"is_ours": lambda *_: True}, "never contacted"),
        (
            "https://meta.example/d",
            {"resolve": lambda *_: [parse_address("169.254.169.254")]},
            "never contacted",
        ),
        ("https://acme.example:0/d", {}, "no port 0"),
    ],
)
def test_what_may_not_be_asked_is_not_asked(url: str, options: dict[str, object], words: str) -> None:
    """Each is a failure of the network: the order is tried again."""
    with pytest.raises(AcmeRefusal, match=words):
        transport(client_context(None), **options).send("GET", url)


def test_a_redirect_is_an_answer(server: AcmeServer) -> None:
    """It is not followed."""
    server.faults.redirect = f"{server.url}/elsewhere"
    asked = transport(client_context(server.root_file))
    assert asked.send("GET", server.directory).status == 302
    assert server.requests == ["GET /directory"]


def test_an_endless_answer_is_cut(server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length that it states does not matter."""
    monkeypatch.setattr(server, "answer", lambda *_: (200, {}, b" " * (MAX_ANSWER_BYTES + 1)))
    with pytest.raises(MalformedInput, match="too much"):
        transport(client_context(server.root_file)).send("GET", server.directory)


def test_a_file_of_roots_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """At the start, with the setting's name."""
    (tmp_path / "bad.pem").write_text("x")
    for file in (tmp_path / "none.pem", tmp_path / "bad.pem"):
        with pytest.raises(ConfigurationError, match="acme_ca_file"):
            client_context(file)
