"""Renewal by proof, without HTTP: which proofs are good, and what a report gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import issuing, revocation
from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.rollover.schedule import DEFAULT_WINDOW
from doorward.core.certificate import RevocationReason
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory import principals as directory
from doorward.enrolment.renewal import RenewalByProof, renew
from doorward.pki.proof import ProofUse
from tests.support.certificates.issuing import toy_ca
from tests.support.factor_world import Caller, FactorWorld
from tests.support.interleaving import before_change
from tests.support.refusals import refused
from tests.support.renewing import new_request, prove
from tests.support.world import OPERATOR, Held, World, found_world

FACTS = b'{"host_name": "sensor-1.lab", "agent_version": "0.1.0"}'


@pytest.fixture
def world() -> World:
    """A founded authority."""
    return found_world()


@pytest.fixture
def renewals(world: World) -> RenewalByProof:
    """The use case."""
    return RenewalByProof(world.services)


def nonce_of(renewals: RenewalByProof) -> str:
    """A fresh nonce."""
    return renewals.make_nonce()[0]


def test_a_proof_gives_a_successor(world, renewals):
    """The identity is that of the certificate; the names in the request are not read."""
    sensor, request = world.issue("sensor-1"), new_request(name="ledger")
    shown = prove(sensor, nonce_of(renewals), request)
    record = renewals.require_proof(shown, ProofUse.RENEW)
    issued = renewals.renew(record, shown.message)
    assert (issued.record.principal_id, issued.record.profile) == (sensor.record.principal_id, "device")
    assert (issued.record.replaces, issued.record.subject_name) == (sensor.record.id, "sensor-1")
    (event,) = world.events(EventType.CERTIFICATE_RENEWED)
    assert event.actor == sensor.record.principal_id


def test_a_nonce_is_ours_and_young(world, renewals):
    """A nonce that is too old, of an earlier process, changed or no nonce at all is stale; nothing is recorded."""
    sensor, request = world.issue("sensor-1"), new_request()
    old, other = nonce_of(renewals), nonce_of(RenewalByProof(world.services))
    fresh = nonce_of(renewals)
    turned = fresh[:-2] + ("A" if fresh[-2] != "A" else "B") + fresh[-1]
    before = world.work.events
    world.clock.turn(minutes=5, seconds=1)
    for nonce in (old, other, turned, fresh + "=", "", "x" * 10_000, "\u00e9"):
        shown = prove(sensor, "n", request, nonce=nonce)
        with refused(MalformedInput, "nonce-stale"):
            renewals.require_proof(shown, ProofUse.RENEW)
    assert world.work.events == before
    young = nonce_of(renewals)
    world.clock.turn(minutes=5)
    assert renewals.require_proof(prove(sensor, young, request), ProofUse.RENEW).id == sensor.record.id


def test_only_the_shown_certificates_own_key_proves(world, renewals):
    """Somebody else's valid certificate, a sibling of the same device and a stranger's get one answer."""
    sensor, sibling, ledger = (world.issue(name) for name in ("sensor-1", "sensor-1", "ledger"))
    stranger = toy_ca().leaf("sensor-1")
    nonce, request = nonce_of(renewals), new_request()
    good = prove(sensor, nonce, request)
    wrong = [
        prove(ledger, nonce, request, certificate=sensor.der),
        prove(sibling, nonce, request, certificate=sensor.der),
        prove(sensor, nonce, request, certificate=sibling.der),
        prove(sensor, nonce, request, message=new_request()),
        prove(sensor, nonce, request, signature=good.signature[:-1] + b"\0"),
        prove(sensor, nonce, request, certificate=sensor.der + b"\0"),
        prove(sensor, nonce, request, ProofUse.REPORT),
        prove(
            Held(record=replace(sensor.record, der=stranger.der), chain_der=(), key=stranger.key),
            nonce,
            request,
        ),
        prove(sensor, nonce, request, certificate=b""),
    ]
    answers = []
    for shown in wrong:
        with refused(RequestRefused, "proof-invalid") as refusal:
            renewals.require_proof(shown, ProofUse.RENEW, source="192.0.2.7")
        answers.append((refusal.value.detail, refusal.value.hint))
    assert len(set(answers)) == 1
    events = world.events(EventType.RENEWAL_REFUSED)
    assert len(events) == len(wrong)
    assert {event.data.get("certificate") for event in events} <= {sensor.record.id, sibling.record.id, None}
    assert events[0].personal["source"] == "192.0.2.7"
    assert renewals.require_proof(good, ProofUse.RENEW).id == sensor.record.id


def test_a_strangers_key_verifies_nothing(world, renewals, monkeypatch):
    """A certificate that is not in the inventory is refused before a signature is verified with its key."""
    stranger, verified = toy_ca().leaf("sensor-1"), []
    sensor = world.issue("sensor-1")
    monkeypatch.setattr("doorward.enrolment.renewal.check_proof", lambda *_, **more: verified.append(more))
    shown = prove(sensor, nonce_of(renewals), new_request(), certificate=stranger.der)
    with refused(RequestRefused, "proof-invalid"):
        renewals.require_proof(shown, ProofUse.RENEW)
    assert verified == []


def test_too_many_wrong_proofs_are_no_events(world, renewals):
    """The caller's error is raised, and nothing is recorded; a good proof passes."""
    sensor, request = world.issue("sensor-1"), new_request()
    shown = prove(sensor, nonce_of(renewals), request)
    too_many = RequestRefused("too-many-attempts", "wait")
    with refused(RequestRefused, "too-many-attempts"):
        renewals.require_proof(
            prove(sensor, shown.nonce, request, signature=b""), ProofUse.RENEW, if_wrong=too_many
        )
    assert world.events(EventType.RENEWAL_REFUSED) == []
    assert renewals.require_proof(shown, ProofUse.RENEW, if_wrong=too_many).id == sensor.record.id


def test_a_person_with_a_factor_renews_at_the_portal():
    """A stolen certificate must not become a new one without the second factor; before the first factor, it may."""
    people = found_world(FactorWorld)
    alice = people.comes("alice")
    first = renew(people.services, alice.certificate_sha256, new_request(), actor=alice.principal_id)
    people.set_password(alice)
    with refused(RequestRefused, "certificate-not-renewable") as refusal:
        renew(people.services, first.record, new_request(), actor=alice.principal_id)
    assert "portal" in refusal.value.hint


def test_a_factor_that_is_enrolled_meanwhile_counts():
    """The person enrols a factor while the certificate is being signed: it never becomes valid."""
    people = found_world(FactorWorld)
    alice = people.comes("alice")
    before_change(people, 2, lambda: _enrol_factor(people, alice))
    with refused(RequestRefused, "certificate-not-renewable"):
        renew(people.services, alice.certificate_sha256, new_request(), actor=alice.principal_id)


def _enrol_factor(people: FactorWorld, alice: Caller) -> None:
    del people.work.change
    people.set_password(alice)


@pytest.mark.parametrize("by", ["record", "digest"])
def test_another_server_renews_by_what_tls_authenticated(world, by):
    """The record or the digest of the certificate; an unknown digest is refused."""
    sensor = world.issue("sensor-1")
    certificate = sensor.record if by == "record" else sensor.record.sha256
    issued = renew(world.services, certificate, new_request(), actor=sensor.record.principal_id)
    assert issued.record.replaces == sensor.record.id
    with refused(RequestRefused, "proof-invalid"):
        renew(world.services, "ab" * 32, new_request(), actor=sensor.record.principal_id)


# reports


def test_a_report_says_when_to_renew(world, renewals):
    """Later before two thirds of the life, now after it; the next report comes within six hours."""
    sensor = world.issue("sensor-1")
    told = renewals.report(sensor.record, FACTS)
    assert (told.renew_now, told.reason, told.check_again) == (False, "", timedelta(hours=6))
    left = sensor.record.not_after - sensor.record.not_before
    assert timedelta(0) < sensor.record.not_after - told.renew_at < left / 2
    world.clock.turn(seconds=(told.renew_at - world.clock.now()).total_seconds() - 600)
    assert renewals.report(sensor.record, FACTS).check_again == timedelta(minutes=10)
    world.clock.turn(minutes=10)
    told = renewals.report(sensor.record, FACTS)
    assert (told.renew_now, told.reason, told.check_again) == (True, "due", timedelta(minutes=1))


def test_a_rollover_asks_for_an_early_renewal(world, renewals):
    """Within its window the agent is told to renew at its own moment, and the successor is not asked again."""
    sensor = world.issue("sensor-1")
    preparing.prepare(world.services, actor=OPERATOR)
    assert renewals.report(sensor.record, FACTS).reason == ""
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR)
    told = renewals.report(sensor.record, FACTS)
    assert told.renew_at <= world.clock.now() + DEFAULT_WINDOW
    world.clock.turn(seconds=DEFAULT_WINDOW.total_seconds())
    told = renewals.report(sensor.record, FACTS)
    assert (told.renew_now, told.reason) == (True, "rollover")
    successor = renew(world.services, sensor.record, new_request(), actor=sensor.record.principal_id).record
    assert successor.authority_id != sensor.record.authority_id
    told = renewals.report(successor, FACTS)
    assert (told.renew_now, told.reason) == (False, "")


def test_reported_facts_are_kept(world, renewals):
    """They are those of the certificate that made the proof; a later report replaces them."""
    sensor = world.issue("sensor-1")
    renewals.report(sensor.record, b'{"host_name": "old", "store": "pem"}')
    renewals.report(sensor.record, FACTS)
    with world.work.read() as stores:
        kept = stores.facts.of([sensor.record.id])[sensor.record.id]
    assert (kept.reported.host_name, kept.reported.store) == ("sensor-1.lab", "")
    assert kept.reported_at == world.clock.now()


def rolled_over(world, held, request, *, revoke=None):
    """Renew a certificate during a rollover, lose the answer, and retire the old authority; return the successor."""
    preparing.prepare(world.services, actor=OPERATOR)
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR, window=timedelta(0))
    issued = renew(world.services, held.record, request, actor=held.record.principal_id)
    if revoke is not None:
        revocation.revoke(world.services, held.record.id, revoke, OPERATOR)
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True)
    leaving.finish_leaving(world.services, actor=OPERATOR)
    return issued.record


def test_an_answer_that_was_lost_before_the_authority_retired_is_given_again(world, renewals):
    """The same request with the proof by the old key gets the certificate that was issued; nothing new is issued."""
    sensor, request = world.issue("sensor-1"), new_request()
    made = rolled_over(world, sensor, request)
    shown = prove(sensor, nonce_of(renewals), request)
    again = renewals.renew(renewals.require_proof(shown, ProofUse.RENEW), shown.message)
    assert (again.record.id, again.is_new) == (made.id, False)
    assert again.chain_der[0] == made.der
    with refused(RequestRefused, "certificate-not-renewable"):
        renew(world.services, world.certificate(sensor), new_request(), actor="system")
    with refused(RequestRefused, "certificate-not-renewable"):
        issuing.renew(world.services, world.certificate(sensor), request, actor=OPERATOR, is_proven=False)


@pytest.mark.parametrize("by", ["operator", "successor", "holder"])
def test_a_lost_answer_is_not_given_to_one_who_lost_standing(world, renewals, by):
    """If an operator revoked the old certificate or its successor, or suspended the holder, the request is refused."""
    sensor, request = world.issue("sensor-1"), new_request()
    made = rolled_over(
        world, sensor, request, revoke=RevocationReason.KEY_COMPROMISE if by == "operator" else None
    )
    if by == "successor":
        revocation.revoke(world.services, made.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    if by == "holder":
        directory.suspend(world.services, "sensor-1", actor=OPERATOR)
    with pytest.raises(RequestRefused) as refusal:
        renew(world.services, world.certificate(sensor), request, actor="system")
    assert refusal.value.code in ("certificate-not-renewable", "principal-suspended")


def test_a_report_of_a_withdrawn_certificate_is_final(world, renewals):
    """Revoked, suspended: the agent learns that it need not try."""
    sensor, ledger = world.issue("sensor-1"), world.issue("ledger")
    revocation.revoke(world.services, sensor.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    directory.suspend(world.services, "ledger", actor=OPERATOR)
    for held, code in ((sensor, "certificate-not-renewable"), (ledger, "principal-suspended")):
        with refused(RequestRefused, code):
            renewals.report(held.record, FACTS)


@pytest.mark.parametrize(
    "facts",
    [
        b"[]",
        b'{"host_name": 7}',
        b'{"host_name": "' + b"a" * 201 + b'"}',
        b'{"system": "a\\u001b[2J"}',
        b'{"store": "a\\nb"}',
        b'{"x": "' + b"a" * 4096 + b'"}',
        b'{"next_renewal": "tomorrow"}',
        b'{"next_renewal": "2027-02-30T00:00:00Z"}',
        b'{"next_renewal": "2027-01-31T12:00:00+01:00"}',
    ],
)
def test_malformed_facts_are_refused(world, renewals, facts):
    """No object, too long, not printable, no moment in UTC: nothing is kept."""
    sensor = world.issue("sensor-1")
    with refused(MalformedInput, "facts-malformed"):
        renewals.report(sensor.record, facts)
    with world.work.read() as stores:
        assert stores.facts.of([sensor.record.id]) == {}
    good = b'{"host_name": "' + b"a" * 200 + b'", "later": [1]}'
    assert renewals.report(sensor.record, good).reason == ""
