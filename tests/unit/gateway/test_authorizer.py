"""The authorizer over a founded world: what it answers, and each way in which it refuses."""

# ruff: noqa: D102 - small stand-ins whose names say it

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.audit.events import Event, EventType
from doorward.authority import directory, policies, revocation
from doorward.authority.access import AccessDecider, AccessDecision, AccessRequest
from doorward.core.certificate import RevocationReason
from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.ports import KeyKind
from doorward.enforcement.envoy.names import Asked, Fact
from doorward.enforcement.transition import class_token
from doorward.gateway import authorizer as module
from doorward.gateway.assertions import AssertionSigner
from doorward.gateway.authorizer import (
    ATTEMPTS,
    LARGEST_CERTIFICATE,
    Answer,
    Authorizer,
    Surroundings,
    decode_certificate,
    whole_minute,
)
from doorward.gateway.connections import Connections
from doorward.gateway.endpoints import Endpoint, parse_endpoint
from doorward.gateway.gate import PolicyGate
from doorward.gateway.sockdiag import SocketFacts, TcpState
from doorward.wire.client_cert import render_client_cert
from doorward.wire.jose import parse_jwks, render_jwks, verify_assertion
from tests.support.ports import NOON, PlainKeys
from tests.support.world import Held, World, found_world
from tests.unit.gateway.live import LOCAL, pending

REMOTE = parse_endpoint("198.51.100.7:40000")
COOKIE = 77
GATEWAY = "gtw_" + "a" * 20
KEY = PlainKeys().generate(KeyKind.P256)


class Interrupted:
    """The real decider, and what happens in the world right after each of its judgements."""

    def __init__(self, decider: AccessDecider) -> None:
        self._decider = decider
        self.afterwards: Iterator[Callable[[], object]] = iter(())
        self.judgements: list[AccessDecision] = []

    def decide(self, request: AccessRequest) -> AccessDecision:
        decision = self._decider.decide(request)
        self.judgements.append(decision)
        next(self.afterwards, lambda: None)()
        return decision


@dataclass
class Place:
    """An authorizer, with everything around it in reach."""

    world: World
    connections: Connections
    gate: PolicyGate
    decider: Interrupted
    sockets: dict[tuple[Endpoint, Endpoint], SocketFacts]
    recorded: list[Event] = field(default_factory=list)
    record_fails: DoorwardError | None = None
    record_does: Callable[[], object] = lambda: None
    is_fresh: bool = True

    def authorizer(self) -> Authorizer:
        around = Surroundings(
            gateway_id=GATEWAY,
            tenant="ten_default",
            lifetime=timedelta(hours=12),
            find=lambda local, remote: self.sockets.get((local, remote)),
            record=self.record,
            fresh=lambda: self.is_fresh,
            epoch=lambda: 3,
            application_name=self.name_of,
        )
        signer = AssertionSigner(KEY, issuer="https://corp.example/gateway-1")
        return Authorizer(
            around,
            self.decider,
            connections=self.connections,
            gate=self.gate,
            signer=signer,
            clock=self.world.clock,
        )

    def record(self, event: Event) -> None:
        if self.record_fails:
            raise self.record_fails
        self.record_does()
        self.recorded.append(event)

    def name_of(self, application_id: str) -> str:
        with self.world.work.read() as books:
            return next(one.name for one in books.applications.list() if one.id == application_id)

    def metadata(self, **changed: str) -> dict[str, str]:
        values = {
            Asked.APPLICATION: self.world.application_id("payments"),
            Asked.CONNECTION: "42",
            Asked.EPOCH: "3",
            Asked.LOCAL: str(LOCAL),
            Asked.REMOTE: str(REMOTE),
        }
        named = {asked.value: text for asked, text in values.items()}
        return named | {Asked[name].value: text for name, text in changed.items()}

    def check(self, held: Held | None, **changed: str) -> Answer:
        return self.authorizer().check(url_pem(held.der) if held else "", self.metadata(**changed))


def url_pem(der: bytes) -> str:
    """A certificate as Envoy sends it."""
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    return urllib.parse.quote(pem, safe="")


@pytest.fixture
def place() -> Place:
    """A world with one open socket, its policy in force."""
    world = found_world()
    gate = PolicyGate()
    gate.open(1)
    facts = SocketFacts(COOKIE, 9, TcpState.ESTABLISHED, LOCAL, REMOTE, 0)
    return Place(
        world=world,
        connections=Connections(sequence=world.head()),
        gate=gate,
        decider=Interrupted(AccessDecider(world.services)),
        sockets={(LOCAL, REMOTE): facts},
    )


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for Envoy in these tests."""
    monkeypatch.setattr(module, "GATE_SECONDS", 0.0)


def refused(place: Place, answer: Answer, *reasons: str) -> None:
    """The answer is a refusal for these reasons, carries nothing, and leaves no trace in the registry."""
    assert answer.facts is None
    for reason in reasons:
        assert reason in answer.reasons
    assert len(place.connections) == 0
    assert place.connections.get(COOKIE) is None


# what is admitted


def test_who_may_gets_every_fact(place: Place) -> None:
    """An admitted connection is told with all facts, each with its value, and nothing else."""
    alice = place.world.issue("alice")
    answer = place.check(alice)
    assert answer.facts is not None
    assert set(answer.facts) == {fact.value for fact in Fact}
    connection = place.connections.get(COOKIE)
    assert connection is not None
    token = class_token("ten_default", connection.application_id, 1, connection.grants)
    assert answer.facts[Fact.JUDGED.value] == "1"
    assert answer.facts[Fact.GRANTS.value] == "," + "".join(f"{one}," for one in (*connection.grants, token))
    assert answer.facts[Fact.PRINCIPAL.value] == "person/alice"
    assert answer.facts[Fact.PRINCIPAL_ID.value] == place.world.principal("alice").id
    assert answer.facts[Fact.CERTIFICATE.value] == alice.record.id
    assert answer.facts[Fact.CLIENT_CERT.value] == render_client_cert(alice.der)
    assert answer.facts[Fact.DECISION.value] == place.recorded[0].id
    assert (connection.epoch, connection.connection_id, connection.class_token) == (3, "42", token)


def test_the_assertion_is_for_this_application_and_certificate(place: Place) -> None:
    """The signed assertion names the application as audience, is bound to the certificate, and ends in time."""
    alice = place.world.issue("alice")
    answer = place.check(alice)
    assert answer.facts is not None
    connection = place.connections.get(COOKIE)
    assert connection is not None
    keys = parse_jwks(json.dumps(render_jwks([KEY.public_key()])))
    claims = verify_assertion(answer.facts[Fact.ASSERTION.value], keys, "payments", NOON)
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


def test_a_connection_asked_about_again_is_judged_anew(place: Place) -> None:
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
    """An Envoy that drains enforces an older policy than this one would be judged by: it admits nobody new."""
    refused(place, place.check(place.world.issue("alice"), EPOCH=epoch), "envoy-replaced")
    assert place.decider.judgements == []


@pytest.mark.parametrize("missing", ["APPLICATION", "CONNECTION", "LOCAL", "REMOTE", "EPOCH"])
def test_missing_metadata_is_refused(place: Place, missing: str) -> None:
    """No key of the metadata may be absent."""
    metadata = place.metadata()
    del metadata[Asked[missing].value]
    held = place.world.issue("alice")
    refused(place, place.authorizer().check(url_pem(held.der), metadata))
    assert place.decider.judgements == []


def test_an_unknown_application_is_refused_on_record(place: Place) -> None:
    """An application that no revision names refuses, and the record says why."""
    answer = place.check(place.world.issue("alice"), APPLICATION="app_" + "z" * 20)
    refused(place, answer, "application-unknown")
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_REFUSED]


def test_a_socket_unknown_to_the_kernel_is_refused(place: Place) -> None:
    """What the kernel does not know could not be cut later, so it is not let in."""
    place.sockets.clear()
    refused(place, place.check(place.world.issue("alice")), "connection-gone")
    assert place.decider.judgements == []


@pytest.mark.parametrize("state", [state for state in TcpState if state is not TcpState.ESTABLISHED])
def test_a_socket_that_is_not_established_is_refused(place: Place, state: TcpState) -> None:
    """Only an established connection is let in."""
    place.sockets = {
        ends: SocketFacts(facts.cookie, facts.inode, state, *ends, 0) for ends, facts in place.sockets.items()
    }
    refused(place, place.check(place.world.issue("alice")), "connection-gone")


def test_a_kernel_that_cannot_be_asked_refuses(place: Place) -> None:
    """Where sockets cannot be looked up, nobody is let in."""

    class Broken(dict[tuple[Endpoint, Endpoint], SocketFacts]):
        def get(self, *_: object) -> None:
            raise Unavailable("sockdiag-unavailable", "the kernel does not answer")

    place.sockets = Broken()
    refused(place, place.check(place.world.issue("alice")), "sockdiag-unavailable")


# who is refused


def test_nobody_without_a_certificate(place: Place) -> None:
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
    """Who would hold more ids than Envoy can match cheaply is refused rather than cut short."""
    rules = "".join(
        f"      - {{name: r{n}, allow: {{groups: [tellers, g{n}]}}, to: {{paths: [/p{n}]}}}}\n"
        for n in range(200)
    )
    text = (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    rules:\n{rules}"
    )
    policies.apply_document(place.world.services, text, file="many.yaml", actor="os:1000")
    place.gate.open(2)
    refused(place, place.check(place.world.issue("alice")), "grants-too-large")


# when something fails


def test_stale_knowledge_refuses(place: Place) -> None:
    """A gateway that could not confirm the change sequence lately lets nobody in, and asks nobody."""
    place.is_fresh = False
    refused(place, place.check(place.world.issue("alice")), "knowledge-stale")
    assert place.decider.judgements == []


def test_a_decider_that_raises_refuses(place: Place) -> None:
    """A database that is away refuses the connection."""
    alice = place.world.issue("alice")
    metadata = place.metadata()
    place.world.work.broken = Unavailable("database-unavailable", "the database does not answer")
    refused(place, place.authorizer().check(url_pem(alice.der), metadata), "database-unavailable")


def test_an_exception_that_nobody_expected_refuses(place: Place) -> None:
    """A defect of ours refuses; nothing of it reaches the peer."""

    def defect() -> None:
        raise RuntimeError("a defect with a secret in it")

    place.decider.afterwards = iter([defect])
    answer = place.check(place.world.issue("alice"))
    refused(place, answer)
    assert answer.reasons == ("internal-error",)


def test_an_admission_that_cannot_be_recorded_is_taken_back(place: Place) -> None:
    """Without its record no connection is let in, and the registry forgets it."""
    alice = place.world.issue("alice")
    place.record_fails = Unavailable("record-overloaded", "the disk is full")
    refused(place, place.check(alice), "record-overloaded")


def test_a_refusal_that_cannot_be_recorded_stays_a_refusal(place: Place) -> None:
    """The disk being full turns no refusal into anything else."""
    place.record_fails = Unavailable("record-overloaded", "the disk is full")
    refused(place, place.check(place.world.issue("carol")), "record-overloaded")


def test_a_condemned_connection_stays_condemned(place: Place) -> None:
    """Asking again about a connection that is being ended refuses it, and it is still to be cut."""
    alice = place.world.issue("alice")
    assert place.check(alice).facts is not None
    place.connections.condemn(COOKIE)
    answer = place.check(alice)
    assert answer.facts is None
    assert answer.reasons == ("connection-condemned",)
    assert [one.cookie for one in place.connections.condemned()] == [COOKIE]


def test_who_is_ended_while_the_record_is_written_is_refused(place: Place) -> None:
    """A change that ends the connection between admission and answer refuses it."""
    place.record_does = lambda: place.connections.condemn(COOKIE)
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is None
    assert answer.reasons == ("connection-gone",)
    assert [one.cookie for one in place.connections.condemned()] == [COOKIE]


def test_who_is_forgotten_while_judged_is_refused(place: Place) -> None:
    """A connection that ended while it was judged is not let in."""
    place.decider.afterwards = iter([lambda: place.connections.condemn(COOKIE)])
    refused(place, place.check(place.world.issue("alice")), "connection-gone")
    assert place.recorded == []


# the policy that Envoy enforces


def test_a_judgement_by_a_policy_not_yet_enforced_is_refused(place: Place) -> None:
    """Where Envoy does not come to enforce the policy judged by, the connection is refused after one wait."""
    place.gate = PolicyGate()
    refused(place, place.check(place.world.issue("alice")), "knowledge-stale")
    assert len(place.decider.judgements) == 1
    assert place.recorded == []


def test_a_judgement_by_a_policy_that_was_passed_is_repeated(place: Place) -> None:
    """Where Envoy enforces a newer policy already, the connection is judged by that one."""
    alice = place.world.issue("alice")

    def narrow() -> None:
        narrowed = policies.export_document(place.world.services).replace(
            "groups: [tellers]", "groups: [nobody]"
        )
        policies.apply_document(place.world.services, narrowed, file="narrow.yaml", actor="os:1000")
        place.gate.open(2)

    place.decider.afterwards = iter([narrow])
    refused(place, place.check(alice), "no-rule-matched")
    assert [one.revision for one in place.decider.judgements] == [1, 2]


def test_the_answer_waits_for_envoy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection judged by a policy that is being published is answered once it is in force."""
    monkeypatch.setattr(module, "GATE_SECONDS", 10.0)
    place.gate = PolicyGate()
    opener = threading.Thread(target=lambda: place.gate.open(1))
    place.decider.afterwards = iter([opener.start])
    assert place.check(place.world.issue("alice")).facts is not None
    opener.join()


# a change between judgement and admission


def test_a_change_between_judgement_and_admission_counts(place: Place) -> None:
    """Who is revoked after the look-up and before the admission is judged again, and refused."""
    alice = place.world.issue("alice")

    def revoke() -> None:
        revocation.revoke(
            place.world.services, alice.record.id, RevocationReason.KEY_COMPROMISE, actor="os:1000"
        )
        place.connections.note_change(place.world.head())

    place.decider.afterwards = iter([revoke])
    refused(place, place.check(alice), "certificate-revoked")
    assert len(place.decider.judgements) == 2
    assert [event.type for event in place.recorded] == [EventType.CONNECTION_REFUSED]


def test_a_change_of_others_does_not_hold_up(place: Place) -> None:
    """A change that names somebody else lets the first judgement stand."""
    alice = place.world.issue("alice")

    def other() -> None:
        seq = directory.suspend(place.world.services, "bob", actor="os:1000").seq
        place.connections.note_change(seq, frozenset({place.world.principal("bob").id}))

    place.decider.afterwards = iter([other])
    assert place.check(alice).facts is not None
    assert len(place.decider.judgements) == 1


def test_changes_without_end_refuse(place: Place) -> None:
    """Where every judgement is overtaken by a change, the connection is refused after some attempts."""
    alice = place.world.issue("alice")
    ahead = iter(range(place.world.head() + 1, 10_000))
    place.decider.afterwards = iter([lambda: place.connections.note_change(next(ahead))] * 100)
    refused(place, place.check(alice), "knowledge-stale")
    assert len(place.decider.judgements) == ATTEMPTS
    assert place.recorded == []


# what an incomplete decision would mean


def test_an_admitting_decision_without_its_subject_is_refused(place: Place) -> None:
    """A good verdict that names nobody admits nobody."""

    class Forgetful(Interrupted):
        def decide(self, request: AccessRequest) -> AccessDecision:
            return replace(super().decide(request), principal=None)

    place.decider = Forgetful(AccessDecider(place.world.services))
    refused(place, place.check(place.world.issue("alice")), "decision-incomplete")
    assert place.recorded == []


def test_grants_beyond_the_limit_are_refused_here_too(place: Place) -> None:
    """Whatever the decider says, an answer never holds more grants than Envoy is built for."""

    class Generous(Interrupted):
        def decide(self, request: AccessRequest) -> AccessDecision:
            return replace(super().decide(request), grants=tuple(f"g{n:020}" for n in range(190)))

    place.decider = Generous(AccessDecider(place.world.services))
    refused(place, place.check(place.world.issue("alice")), "grants-too-large")


# the small parts


def test_certificates_are_decoded_in_linear_time() -> None:
    """Blank space without end is no certificate, and finding that out takes no time."""
    blank = " " * (LARGEST_CERTIFICATE - 60)
    assert decode_certificate(f"-----BEGIN CERTIFICATE-----{blank}") == b""
    assert decode_certificate(f"-----BEGIN CERTIFICATE-----{blank}x") == b""


def test_certificates_are_decoded() -> None:
    """URL-encoded PEM gives DER, an empty text nothing, everything else bytes that are no certificate."""
    der = found_world().issue("alice").der
    assert decode_certificate(url_pem(der)) == der
    assert decode_certificate("") is None
    for text in (
        "x",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----",
        "%ff%fe",
        "é",
        "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----",
    ):
        assert decode_certificate(text) == b""


def test_deadlines_are_whole_minutes() -> None:
    """Deadlines are rounded down so that assertions are shared, but never to the past or later."""
    late = NOON + timedelta(hours=1, seconds=42, microseconds=7)
    assert whole_minute(late, NOON) == NOON + timedelta(hours=1)
    soon = NOON + timedelta(seconds=90, microseconds=7)
    assert whole_minute(soon, NOON) == NOON + timedelta(seconds=90)


def test_the_deadline_is_the_end_of_the_certificate(place: Place) -> None:
    """A connection never outlives the certificate that it was admitted with."""
    alice = place.world.issue("alice")
    place.world.clock.present = alice.record.not_after - timedelta(minutes=10)
    assert place.check(alice).facts is not None
    connection = place.connections.get(COOKIE)
    assert connection is not None
    assert connection.deadline <= alice.record.not_after


def test_connections_beyond_the_limit_are_refused(place: Place) -> None:
    """A full registry refuses, with the reason in the log only."""
    place.connections = Connections(sequence=place.world.head(), max_total=1)
    place.connections.begin(pending(5))
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is None
    assert answer.reasons == ("connections-exhausted",)
