"""The authorizer: what fails refuses, and a change between judgement and admission counts."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from doorward.access import policies
from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from doorward.gateway.authorizer import judging as module
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import (
    ATTEMPTS,
    LARGEST_CERTIFICATE,
    decode_certificate,
)
from doorward.gateway.connections.registry import ConnectionRegistry
from tests.support.world import found_world
from tests.unit.gateway.authorizer.conftest import (
    COOKIE,
    Interrupted,
    Place,
    refused,
    url_pem,
)
from tests.unit.gateway.live import pending

# when something fails


def test_stale_knowledge_refuses(place: Place) -> None:
    """A gateway that has not read the change sequence lately refuses every connection, without a judgement."""
    place.is_fresh = False
    with capture_logs() as logs:
        refused(place, place.check(place.world.issue("alice")), "knowledge-stale")
    assert place.decider.judgements == []
    assert "not read" in logs[0]["detail"]


def test_a_decider_that_raises_refuses(place: Place) -> None:
    """A database that is away refuses the connection."""
    alice = place.world.issue("alice")
    metadata = place.metadata()
    place.world.work.broken = Unavailable("database-unavailable", "the database does not answer")
    refused(place, place.authorizer().check(url_pem(alice.der), metadata), "database-unavailable")


def test_an_unexpected_exception_refuses(place: Place) -> None:
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
    place.record_fails = Unavailable("store-full", "the disk is full")
    refused(place, place.check(alice), "store-full")


def test_a_refusal_that_cannot_be_recorded_stays_a_refusal(place: Place) -> None:
    """The disk being full turns no refusal into anything else."""
    place.record_fails = Unavailable("store-full", "the disk is full")
    refused(place, place.check(place.world.issue("carol")), "store-full")


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
    """If Envoy does not enforce the policy of the judgement, the connection is refused after one wait."""
    place.gate = PolicyGate()
    with capture_logs() as logs:
        refused(place, place.check(place.world.issue("alice")), "knowledge-stale")
    assert "does not enforce the newest policy yet" in logs[0]["detail"]
    assert len(place.decider.judgements) == 1
    assert place.recorded == []


def test_a_judgement_by_a_policy_that_was_passed_is_repeated(place: Place) -> None:
    """If Envoy already enforces a newer policy, the connection is judged by that one."""
    alice = place.world.issue("alice")

    def narrow() -> None:
        narrowed = policies.export_revision(place.world.services)[0].replace(
            "groups: [tellers]", "groups: [empty]"
        )
        policies.apply_document(place.world.services, narrowed, file="narrow.yaml", actor="os:1000")
        place.in_force()

    place.decider.afterwards = iter([narrow])
    refused(place, place.check(alice), "no-rule-matched")
    assert [one.revision for one in place.decider.judgements] == [1, 2]


def test_the_answer_waits_for_envoy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection judged by a policy that is being published is answered once it is in force."""
    monkeypatch.setattr(module, "GATE_SECONDS", 10.0)
    place.gate = PolicyGate()
    opener = threading.Thread(target=place.in_force)
    place.decider.afterwards = iter([opener.start])
    assert place.check(place.world.issue("alice")).facts is not None
    opener.join()


# a change between judgement and admission


def test_a_change_between_judgement_and_admission_counts(place: Place) -> None:
    """If a certificate is revoked between look-up and admission, the connection is judged again and refused."""
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
    """If a change follows every judgement, the connection is refused after some attempts."""
    alice = place.world.issue("alice")
    ahead = iter(range(place.world.head() + 1, 10_000))
    place.decider.afterwards = iter([lambda: place.connections.note_change(next(ahead))] * 100)
    refused(place, place.check(alice), "knowledge-stale")
    assert len(place.decider.judgements) == ATTEMPTS
    assert place.recorded == []


# what an incomplete decision would mean


def test_an_admitting_decision_without_its_subject_is_refused(place: Place) -> None:
    """A good verdict without a principal admits no connection."""

    class Forgetful(Interrupted):
        def decide(self, context: ConnectionContext, presented: bytes | None) -> AccessDecision:
            return replace(super().decide(context, presented), subject=None)

    place.decider = Forgetful(place.world.decider())
    refused(place, place.check(place.world.issue("alice")), "decision-incomplete")
    assert place.recorded == []


def test_grants_beyond_the_limit_are_refused_here_too(place: Place) -> None:
    """An answer never holds more grants than Envoy can match, also if the decider returns more."""

    class Generous(Interrupted):
        def decide(self, context: ConnectionContext, presented: bytes | None) -> AccessDecision:
            return replace(super().decide(context, presented), grants=tuple(f"g{n:020}" for n in range(190)))

    place.decider = Generous(place.world.decider())
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
    place.connections = ConnectionRegistry(sequence=place.world.head(), max_total=1)
    place.connections.begin(pending(5))
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is None
    assert answer.reasons == ("connections-exhausted",)
