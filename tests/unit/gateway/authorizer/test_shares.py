"""The authorizer's shares: connections of one principal, and what judging strangers may cost."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.core.entities import Reason
from doorward.gateway.access_log.counting import CertificateRateLimiter
from doorward.gateway.authorizer import judging as module
from doorward.gateway.authorizer.anonymous import ANONYMOUS_FACTS
from doorward.gateway.authorizer.connection_limits import EVERY_SECONDS, ConnectionLimitRecorder
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from tests.support.certificates.issuing import toy_ca
from tests.unit.gateway.authorizer.conftest import Place, url_pem
from tests.unit.gateway.live import LOCAL


def from_port(place: Place, port: int, host: str = "198.51.100.7") -> str:
    """Open one more socket; return its address for the call's metadata."""
    remote = parse_endpoint(f"{host}:{port}" if "." in host else f"[{host}]:{port}")
    place.sockets[LOCAL, remote] = SocketFacts(port, 9, TcpState.ESTABLISHED, LOCAL, remote)
    return str(remote)


def stranger() -> str:
    """A certificate that is not in the inventory, as Envoy sends it."""
    pem = toy_ca().leaf("mallory").pem
    return url_pem(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def test_one_principal_has_a_share(place: Place) -> None:
    """Beyond its share a principal is refused for a reason of its own; others of the same address are not."""
    place.connections = ConnectionRegistry(sequence=place.world.head(), max_per_principal=2)
    alice, bob = place.world.issue("alice"), place.world.issue("bob")
    place.connections.note_change(place.world.head())
    place.in_force()
    door = place.authorizer()
    for port in (1001, 1002):
        assert door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, port))).facts
    answer = door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, 1003)))
    assert answer.reasons == (Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED.value,)
    assert [one.principal.name for one in place.over_limit if one.principal] == ["alice"]
    assert len(place.connections) == 2
    assert door.check(url_pem(bob.der), place.metadata(REMOTE=from_port(place, 1004))).facts
    place.connections.forget(1001)
    assert door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, 1005))).facts


def test_the_refusal_is_on_record_once_a_minute(place: Place) -> None:
    """A client that is refused again and again does not fill the record."""
    alice = place.world.issue("alice")
    place.in_force()
    assert place.check(alice).facts
    (decision,) = place.decider.judgements
    context = place.world.context(source_address="198.51.100.7")
    place.recorded.clear()
    over_limit = ConnectionLimitRecorder(place.world.services, "gtw_" + "a" * 20, place.record)
    for _ in range(3):
        over_limit.note(decision, context, Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED)
    (event,) = place.recorded
    assert event.type is EventType.CONNECTION_REFUSED
    assert "principal-connections-exhausted" in event.data["reasons"]
    place.world.clock.turn(seconds=EVERY_SECONDS)
    over_limit.note(decision, context, Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED)
    assert len(place.recorded) == 2


def test_a_certificate_opens_so_many_connections_a_minute(place: Place) -> None:
    """Connections beyond the rate are refused and recorded; another certificate goes on, and a minute later this one too."""
    alice, bob = place.world.issue("alice"), place.world.issue("bob")
    place.in_force()
    place.rate_limiter = CertificateRateLimiter(place.world.clock, 3)
    door = place.authorizer()
    answers = [
        door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, 2001 + one)))
        for one in range(5)
    ]
    assert [one.facts is not None for one in answers] == [True, True, True, False, False]
    assert answers[-1].reasons == (Reason.CERTIFICATE_RATE_EXCEEDED.value,)
    assert len(place.over_limit) == 2
    assert door.check(url_pem(bob.der), place.metadata(REMOTE=from_port(place, 2010))).facts
    place.world.clock.turn(seconds=60)
    assert door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, 2011))).facts


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each judgement costs 40 ms of processor time."""
    spent = iter(range(10_000))
    monkeypatch.setattr(module.time, "thread_time", lambda: next(spent) * 0.04)


@pytest.mark.usefixtures("dear")
def test_strangers_are_not_judged_without_end(place: Place) -> None:
    """A flood of unknown certificates ends in refusals without a judgement; known certificates are admitted."""
    alice = place.world.issue("alice")
    place.in_force()
    door, unknown = place.authorizer(), stranger()
    reasons = [
        door.check(unknown, place.metadata(REMOTE=from_port(place, port))).reasons
        for port in range(2001, 2061)
    ]
    judged = len(place.decider.judgements)
    assert 20 <= judged <= 30  # a second in all, 40 ms each
    assert set(reasons[judged:]) == {(Reason.JUDGEMENT_EXHAUSTED.value,)}
    assert len(place.connections) == 0
    assert door.check(url_pem(alice.der), place.metadata(REMOTE=from_port(place, 2100))).facts
    elsewhere = door.check(unknown, place.metadata(REMOTE=from_port(place, 2101, "203.0.113.9")))
    assert Reason.JUDGEMENT_EXHAUSTED.value not in elsewhere.reasons
    place.world.clock.turn(seconds=60)
    again = door.check(unknown, place.metadata(REMOTE=from_port(place, 2102)))
    assert Reason.JUDGEMENT_EXHAUSTED.value not in again.reasons


@pytest.mark.usefixtures("dear")
def test_an_ipv6_network_is_one_source(place: Place) -> None:
    """A host owns its whole /64 (RFC 4291 section 2.5.4): another address of it is no other source."""
    place.in_force()
    door, unknown = place.authorizer(), stranger()
    for port in range(3001, 3041):
        remote = from_port(place, port, f"2001:db8::{port:x}")
        answer = door.check(unknown, place.metadata(REMOTE=remote))
    assert answer.reasons == (Reason.JUDGEMENT_EXHAUSTED.value,)


@pytest.mark.usefixtures("dear")
def test_a_flood_of_certificates_does_not_refuse_connections_without_one(place: Place) -> None:
    """A preflight has no certificate to be judged: it is answered while strangers have used up their budget."""
    policies.apply_document(place.world.services, OPENED, file="x.yaml", actor="os:1000")
    place.in_force()
    door, unknown = place.authorizer(), stranger()
    for port in range(2001, 2041):
        answer = door.check(unknown, place.metadata(REMOTE=from_port(place, port)))
    assert answer.reasons == (Reason.JUDGEMENT_EXHAUSTED.value,)
    assert door.check("", place.metadata(REMOTE=from_port(place, 2100))).facts == ANONYMOUS_FACTS


OPENED = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    cors: {origins: ["https://b.example"]}
"""
