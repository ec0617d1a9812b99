"""The EST door, which asks for a certificate and verifies nothing but its key.

What a client shows there reaches our own surface as a claim, and nothing else: it is no identity at any application, and a
client that writes the field itself is not believed.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward.enforcement.envoy.http import EST_REQUESTS
from doorward.enforcement.envoy.names import SHOWN_CHAIN, SOURCE
from doorward.wire.forwarded_chain import parse_forwarded_chain
from tests.posture.witness import SPOOFED, Witness, said_of, standing_witness
from tests.support.attacks import HTTP, TLS, changed, without
from tests.support.compiled_door import CompiledDoor, Kept

pytestmark = pytest.mark.xdist_group("posture-est")


HOST = "est.test"
CACERTS = "/.well-known/est/cacerts"
EARLY = without(*HTTP, "early_header_mutation_extensions", 0)
PEERS = [None, "p256", "stranger", "expired"]


@pytest.fixture(scope="module")
def est_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The socket of the EST surface."""
    return tmp_path_factory.mktemp("e") / "est.sock"


@pytest.fixture(scope="module")
def surface(est_socket: Path) -> Iterator[Witness]:
    """The server that answers there."""
    with standing_witness(est_socket) as one:
        yield one


@pytest.fixture
def est(kept: Kept, surface: Witness, est_socket: Path) -> CompiledDoor:
    """The door as compiled."""
    assert surface.requests is not None
    return kept(name="est", est=est_socket)


def ask(
    door: CompiledDoor, peer: str | None, *headers: tuple[str, str], path: str = CACERTS, **more: Any
) -> int:
    """Send one request to the EST host; return its status."""
    return door.ask(path, *headers, host=HOST, certificate=peer, **more)


@pytest.mark.parametrize("peer", PEERS)
def test_what_was_shown_arrives_and_nothing_that_was_written(
    est: CompiledDoor, surface: Witness, peer: str | None
) -> None:
    """Any certificate ends the handshake well; the chain is Envoy's, and every name of ours in the request is gone."""
    assert ask(est, peer, *SPOOFED) == 200
    seen = surface.requests[-1]
    assert said_of(seen) == ({SOURCE} if peer is None else {SOURCE, SHOWN_CHAIN})
    assert seen.all_of(SOURCE) == ["127.0.0.1"]
    if peer is not None:
        (value,) = seen.all_of(SHOWN_CHAIN)
        leaf = (est.site.folder / f"{peer}.pem").read_text().partition("-----END")[0]
        assert parse_forwarded_chain(value)[0] == ssl.PEM_cert_to_DER_cert(
            leaf + "-----END CERTIFICATE-----\n"
        )


def test_a_claimed_chain_is_not_believed(est: CompiledDoor, surface: Witness) -> None:
    """A field in Envoy's own form, with somebody's certificate, beside a shown one and without one."""
    assert ask(est, "p256") == 200
    (true,) = surface.requests[-1].all_of(SHOWN_CHAIN)
    for peer in (None, "stranger"):
        assert ask(est, peer, (SHOWN_CHAIN, true)) == 200
        assert true not in surface.requests[-1].all_of(SHOWN_CHAIN)


def test_without_the_removal_a_claim_arrives(kept: Kept, surface: Witness, est_socket: Path) -> None:
    """The twin: both protections out, and a client without a certificate shows whatever it wrote."""
    edits = (
        changed(*HTTP, "forward_client_cert_details", to="ALWAYS_FORWARD_ONLY"),
        EARLY,
    )
    door = kept(*edits, name="claims", est=est_socket)
    assert ask(door, None, (SHOWN_CHAIN, "Hash=00")) == 200
    assert surface.requests[-1].all_of(SHOWN_CHAIN) == ["Hash=00"]


def test_each_protection_alone_is_enough(kept: Kept, surface: Witness, est_socket: Path) -> None:
    """Either the early removal, or Envoy's own treatment of the field."""
    early = changed(*HTTP, "forward_client_cert_details", to="ALWAYS_FORWARD_ONLY")
    for name, edit in (("early", early), ("late", EARLY)):
        door = kept(edit, name=name, est=est_socket)
        assert ask(door, None, (SHOWN_CHAIN, "Hash=00")) == 200
        assert surface.requests[-1].all_of(SHOWN_CHAIN) == []


def test_without_the_validation_context_no_certificate_is_asked_for(
    kept: Kept, surface: Witness, est_socket: Path
) -> None:
    """The context makes Envoy ask: without it a client with a certificate shows none."""
    edit = without(*TLS, "common_tls_context", "validation_context_sds_secret_config")
    mute = kept(edit, name="mute", est=est_socket)
    assert ask(mute, "p256") == 200
    assert surface.requests[-1].all_of(SHOWN_CHAIN) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/join"),
        ("GET", "/root.pem"),
        ("POST", "/v1/certificates"),
        ("POST", "/renew"),
        ("GET", "/.well-known/est"),
        ("GET", "/.well-known/est/label/cacerts"),
        ("GET", "/.well-known/est/fullcmc"),
        ("POST", "/.well-known/est/fullcmc"),
        ("POST", CACERTS),
        ("GET", "/.well-known/est/simpleenroll"),
        ("GET", "/_doorward/login"),
        ("GET", "/enrol"),
    ],
)
def test_only_the_listed_operations_are_there(
    est: CompiledDoor, surface: Witness, method: str, path: str
) -> None:
    """Neither the portal, nor the enrolment host, nor a label (RFC 7030 section 3.2.2)."""
    mark = len(surface.requests)
    assert ask(est, "p256", path=path, method=method) in {400, 404}
    assert surface.since(mark) == []


def test_no_application_is_reached_by_its_connection(est: CompiledDoor, witness: Witness) -> None:
    """Another host on it gets 421, and a certificate that only this door takes opens no application."""
    mark = len(witness.requests)
    with est.connect(HOST, "stranger") as connection:
        assert est.site.ask("GET", "/accounts/1", host="pay.test", over=connection).status == 421
    assert est.ask("/accounts/1", host="pay.test", certificate="stranger") == 0
    assert witness.since(mark) == []


def test_its_limits_are_those_of_open_doors(est: CompiledDoor, surface: Witness) -> None:
    """32 KiB of body; HTTP/1.1 only is offered."""
    mark = len(surface.requests)
    path = "/.well-known/est/simpleenroll"
    assert ask(est, None, path=path, method="POST", body=b"x" * 32_769) == 413
    assert surface.since(mark) == []
    context = est.site.tls("p256")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with est.site.connect(HOST, context=context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def answered_on_one_connection(door: CompiledDoor) -> int:
    """How many requests of one connection are answered, of some more than are allowed."""
    answered = 0
    with door.connect(HOST, "stranger") as connection, contextlib.suppress(OSError, AssertionError):
        while answered < EST_REQUESTS + 4:
            if door.site.ask("GET", CACERTS, host=HOST, over=connection).status != 200:
                break
            answered += 1
    return answered


def test_a_connection_has_few_requests(kept: Kept, est: CompiledDoor, est_socket: Path) -> None:
    """Judging a stranger's certificate costs more than the request, so each few requests need a handshake; with the twin."""
    assert answered_on_one_connection(est) == EST_REQUESTS
    edit = without(*HTTP, "common_http_protocol_options", "max_requests_per_connection")
    assert answered_on_one_connection(kept(edit, name="endless", est=est_socket)) == EST_REQUESTS + 4
