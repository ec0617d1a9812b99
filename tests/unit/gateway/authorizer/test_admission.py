"""The authorizer: the connections that it admits and refuses, and the metadata that it reads from the call."""

from __future__ import annotations

import json

import pytest

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.names import AuthorizerMetadata, ConnectionFact
from doorward.enforcement.transition import class_token
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from doorward.wire.client_cert import render_client_cert
from doorward.wire.jose import parse_jwks, render_jwks, verify_assertion
from tests.support.ports import NOON
from tests.unit.gateway.authorizer.conftest import (
    COOKIE,
    KEY,
    Place,
    refused,
    url_pem,
)

# what is admitted


def test_who_may_gets_every_fact(place: Place) -> None:
    """An admitted connection is told with all facts, each with its value, and nothing else."""
    alice = place.world.issue("alice")
    answer = place.check(alice)
    assert answer.facts is not None
    assert set(answer.facts) == {fact.value for fact in ConnectionFact}
    connection = place.connections.get(COOKIE)
    assert connection is not None
    token = class_token("ten_default", connection.application_id, 1, connection.grants)
    assert answer.facts[ConnectionFact.JUDGED.value] == "1"
    assert answer.facts[ConnectionFact.GRANTS.value] == "," + "".join(
        f"{one}," for one in (*connection.grants, token)
    )
    assert answer.facts[ConnectionFact.EPOCH.value] == "0.0.0"
    assert answer.facts[ConnectionFact.PRINCIPAL.value] == "person/alice"
    assert answer.facts[ConnectionFact.OWNER.value] == "alice"
    assert answer.facts[ConnectionFact.PRINCIPAL_ID.value] == place.world.principal("alice").id
    assert answer.facts[ConnectionFact.CERTIFICATE.value] == alice.record.id
    assert answer.facts[ConnectionFact.CLIENT_CERT.value] == render_client_cert(alice.der)
    assert answer.facts[ConnectionFact.DECISION.value] == place.recorded[0].id
    assert (connection.epoch, connection.connection_id) == (3, "42")


def test_the_assertion_is_for_this_application_and_certificate(place: Place) -> None:
    """The signed assertion names the application as audience, is bound to the certificate, and ends in time."""
    alice = place.world.issue("alice")
    answer = place.check(alice)
    assert answer.facts is not None
    connection = place.connections.get(COOKIE)
    assert connection is not None
    keys = parse_jwks(json.dumps(render_jwks([KEY.public_key()])))
    claims = verify_assertion(answer.facts[ConnectionFact.ASSERTION.value], keys, "payments", NOON)
    assert claims["sub"] == "alice"
    assert claims["exp"] == int(connection.deadline.timestamp())
    assert claims["principal_id"] == connection.principal_id


def test_the_decision_is_durable_before_it_is_answered(place: Place) -> None:
    """The event of an admission is recorded once, and it is the one that the answer names."""
    alice = place.world.issue("alice")
    answer = place.check(alice)
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_ADMITTED]
    assert answer.facts is not None
    assert place.recorded[0].data["deadline"] is not None


def test_the_connection_is_registered_before_it_is_recorded(place: Place) -> None:
    """While the record is being written the connection is live already: a change that comes now meets it."""
    seen: list[bool] = []
    place.record_does = lambda: seen.append(place.connections.get(COOKIE) is not None)
    assert place.check(place.world.issue("alice")).facts is not None
    assert seen == [True]


def test_a_connection_asked_about_again_is_judged_again(place: Place) -> None:
    """Two questions about one socket leave one connection, judged the second time."""
    alice = place.world.issue("alice")
    assert place.check(alice).facts is not None
    assert place.check(alice).facts is not None
    assert len(place.connections) == 1
    assert len(place.recorded) == 2


# what the call says


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPLICATION", ""),
        ("APPLICATION", "payments"),
        ("APPLICATION", "app_A"),
        ("APPLICATION", "app_" + "a" * 41),
        ("APPLICATION", "app_a\n"),
        ("CONNECTION", ""),
        ("CONNECTION", "4 2"),
        ("CONNECTION", "-1"),
        ("CONNECTION", "1" * 21),
        ("LOCAL", ""),
        ("LOCAL", "payments.corp.example:443"),
        ("REMOTE", "198.51.100.7"),
        ("REMOTE", "198.51.100.7:70000"),
    ],
)
def test_a_garbled_call_is_refused(place: Place, name: str, value: str) -> None:
    """Metadata that our configuration would never write refuses the connection before anything is judged."""
    refused(place, place.check(place.world.issue("alice"), **{name: value}))
    assert place.decider.judgements == []


@pytest.mark.parametrize("epoch", ["2", "4", "03", ""])
def test_a_connection_of_a_replaced_envoy_is_refused(place: Place, epoch: str) -> None:
    """An Envoy that drains enforces an older policy than the judgement would use: it admits no new connection."""
    refused(place, place.check(place.world.issue("alice"), EPOCH=epoch), "envoy-replaced")
    assert place.decider.judgements == []


@pytest.mark.parametrize("missing", ["APPLICATION", "CONNECTION", "LOCAL", "REMOTE", "EPOCH"])
def test_missing_metadata_is_refused(place: Place, missing: str) -> None:
    """No key of the metadata may be absent."""
    metadata = place.metadata()
    del metadata[AuthorizerMetadata[missing].value]
    held = place.world.issue("alice")
    refused(place, place.authorizer().check(url_pem(held.der), metadata))
    assert place.decider.judgements == []


def test_an_unknown_application_is_refused_on_record(place: Place) -> None:
    """An application that no revision names refuses, and the record says why."""
    answer = place.check(place.world.issue("alice"), APPLICATION="app_" + "z" * 20)
    refused(place, answer, "application-unknown")
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_REFUSED]


def test_a_socket_unknown_to_the_kernel_is_refused(place: Place) -> None:
    """A socket that the kernel does not know could not be cut later, so it is refused."""
    place.sockets.clear()
    refused(place, place.check(place.world.issue("alice")), "connection-gone")
    assert place.decider.judgements == []


@pytest.mark.parametrize("state", [state for state in TcpState if state is not TcpState.ESTABLISHED])
def test_a_socket_that_is_not_established_is_refused(place: Place, state: TcpState) -> None:
    """Only an established connection is let in."""
    place.sockets = {
        ends: SocketFacts(facts.cookie, facts.inode, state, *ends) for ends, facts in place.sockets.items()
    }
    refused(place, place.check(place.world.issue("alice")), "connection-gone")


def test_a_kernel_that_cannot_be_asked_refuses(place: Place) -> None:
    """If sockets cannot be looked up, every connection is refused."""

    class Broken(dict[tuple[Endpoint, Endpoint], SocketFacts]):
        def get(self, *_: object) -> None:
            raise Unavailable("sockdiag-unavailable", "the kernel does not answer")

    place.sockets = Broken()
    refused(place, place.check(place.world.issue("alice")), "sockdiag-unavailable")


# who is refused


def test_no_certificate_is_refused(place: Place) -> None:
    """No certificate, no way in; the refusal is on record."""
    refused(place, place.check(None), "certificate-missing")
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_REFUSED]


@pytest.mark.parametrize(
    "text",
    ["%", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "A" * 70_000],
)
def test_what_is_no_certificate_is_refused(place: Place, text: str) -> None:
    """Text that does not decode to a certificate is refused as malformed, on record."""
    refused(place, place.authorizer().check(text, place.metadata()), "certificate-malformed")
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_REFUSED]


def test_a_revoked_certificate_is_refused(place: Place) -> None:
    """Revocation counts at once for new connections."""
    alice = place.world.issue("alice")
    revocation.revoke(place.world.services, alice.record.id, RevocationReason.KEY_COMPROMISE, actor="os:1000")
    refused(place, place.check(alice), "certificate-revoked")


def test_who_has_no_rule_is_refused(place: Place) -> None:
    """A good certificate that no rule selects holds nothing."""
    refused(place, place.check(place.world.issue("carol")), "no-rule-matched")


def test_too_many_grants_are_refused(place: Place) -> None:
    """A subject with more grants than Envoy can match cheaply is refused; its grants are not truncated."""
    rules = "".join(
        f"      - {{name: r{n}, allow: {{groups: [tellers, g{n}]}}, to: {{paths: [/p{n}]}}}}\n"
        for n in range(200)
    )
    text = (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    rules:\n{rules}"
    )
    policies.apply_document(place.world.services, text, file="many.yaml", actor="os:1000")
    place.in_force()
    refused(place, place.check(place.world.issue("alice")), "grants-too-large")
