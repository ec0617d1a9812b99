"""The PDP: who is admitted, with which permissions, until when, and the reasons of each refusal."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.authority import orders, revocation
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Outcome, Reason
from doorward.core.errors import NotFound, Unavailable
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.stores.policy_snapshot import PolicySnapshots
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, OPERATOR, TRUST_DOMAIN, empty_world


def known(world, held):
    """A live connection of payments and the digest of its certificate."""
    return world.context(opened_at=NOON), held.record.sha256


def assert_refused(decision, *reasons):
    """Assert a refusal with at least these reasons."""
    assert decision.verdict.outcome is Outcome.BAD
    assert set(reasons) <= set(decision.verdict.reasons)
    assert decision.grants == ()
    assert decision.deadline == decision.verdict.judged_at
    assert decision.event.type is EventType.CONNECTION_REFUSED


def test_teller_is_admitted(world):
    """A good certificate and an allow rule admit: grants, principal, deadline, revision, number."""
    held = world.issue("alice")
    decision = world.decide(held.der)
    assert decision.verdict.outcome is Outcome.GOOD
    assert decision.principal == world.principal("alice")
    assert decision.certificate == world.certificate(held)
    assert decision.grants == decision.permissions.grants != ()
    assert (decision.revision, decision.seq) == (1, world.head())
    assert decision.deadline == NOON + timedelta(hours=12)
    assert decision.verdict.reasons[-3:] == (
        Reason.PRINCIPAL_ACTIVE, Reason.APPLICATION_KNOWN, Reason.RULE_ALLOWS,
    )  # fmt: skip
    assert len(set(decision.verdict.reasons)) == len(decision.verdict.reasons)


def test_admission_is_an_event(world):
    """The event has principal, certificate, application, reasons and deadline."""
    held = world.issue("alice")
    event = world.decide(held.der).event
    assert event.type is EventType.CONNECTION_ADMITTED
    assert event.actor == event.data["principal"] == held.record.principal_id
    assert event.data["certificate"] == held.record.id
    assert event.data["application"] == world.application_id("payments")
    assert event.data["connection"] == "42"
    assert event.data["revision"] == 1
    assert "rule-allows" in event.data["reasons"]
    assert dict(event.personal) == {"source": "192.0.2.7", "name": "alice"}


def test_deadline_is_the_certificates_end_if_that_is_sooner(world):
    """No connection outlives its certificate."""
    held = world.issue("alice")
    world.clock.turn(days=89, hours=20)
    deadline = world.decide(held.der).deadline
    assert deadline == held.record.not_after + timedelta(seconds=1)  # the second of its end belongs to it


def test_a_certificate_without_a_record_is_refused(world):
    """A forged certificate gives every reason, and its words go under `claimed_*` only."""
    forged = toy_ca().leaf("alice")
    decision = world.decide(forged.der)
    assert_refused(decision, Reason.ISSUER_UNKNOWN, Reason.CERTIFICATE_UNKNOWN, Reason.NAME_MISMATCH)
    assert Reason.APPLICATION_KNOWN in decision.verdict.reasons
    assert (decision.principal, decision.certificate, decision.permissions) == (None, None, None)
    event = decision.event
    assert event.actor == "system"
    assert event.data["claimed_sha256"] == forged.sha256
    assert event.personal["claimed_subject"] == "CN=alice"
    assert event.personal["claimed_san"] == f"URI:spiffe://{TRUST_DOMAIN}/person/alice"
    assert "name" not in event.personal
    assert "principal" not in event.data


def test_no_certificate_and_no_certificate_at_all(world):
    """Nothing presented, and bytes that are none, are refused with their own reasons."""
    missing, nonsense = world.decide(None), world.decide(b"nonsense")
    assert_refused(missing, Reason.CERTIFICATE_MISSING)
    assert_refused(nonsense, Reason.CERTIFICATE_MALFORMED)
    assert "claimed_sha256" not in missing.event.data
    assert nonsense.event.data["claimed_sha256"] == hashlib.sha256(b"nonsense").hexdigest()
    assert "claimed_serial" not in nonsense.event.data


def test_authority_certificate_is_no_client_certificate(world):
    """Our own issuing certificate, which anybody has, opens nothing."""
    assert_refused(world.decide(world.issue("alice").chain_der[1]), Reason.CERTIFICATE_UNKNOWN)


def test_server_certificate_is_no_client_certificate(world):
    """A gateway's own certificate is in the inventory and still opens nothing."""
    gateway = world.gateway()
    order = orders.place_order(world.services, gateway.id, "apps", ["payments.corp.example"], world.csr())
    issued = orders.fill_order(world.services, order.id, actor="system")
    decision = world.decide(issued.record.der)
    assert_refused(decision, Reason.PURPOSE_WRONG, Reason.PRINCIPAL_UNKNOWN)
    assert decision.event.actor == "system"


def test_withdrawn_certificates_are_refused(world):
    """Revoked, held and expired certificates are refused with their reason; the holder is named in the event."""
    revoked, held, expired = world.issue("alice"), world.issue("alice"), world.issue("alice")
    revocation.revoke(world.services, revoked.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    revocation.hold(world.services, held.record.id, OPERATOR)
    decision = world.decide(revoked.der)
    assert_refused(decision, Reason.CERTIFICATE_REVOKED)
    assert decision.event.data["certificate"] == revoked.record.id
    assert decision.event.actor == revoked.record.principal_id
    assert_refused(world.decide(held.der), Reason.CERTIFICATE_ON_HOLD)
    world.clock.turn(days=91)
    assert_refused(world.decide(expired.der), Reason.CERTIFICATE_EXPIRED)


def test_intent_opens_nothing(world):
    """The bytes of an intent are no certificate and vouch for none."""
    from dataclasses import replace

    held = world.issue("alice")
    with world.work.change() as stores:
        stores.certificates.add_intended(
            replace(held.record, id="crt_" + "z" * 20, serial=7, sha256=hashlib.sha256(b"intent").hexdigest())
        )
    assert_refused(world.decide(b"intent"), Reason.CERTIFICATE_MALFORMED)


def test_suspended_and_removed_principals_are_refused(world):
    """The account's state counts at once."""
    held = world.issue("alice")
    directory.suspend(world.services, "alice", actor=OPERATOR)
    assert_refused(world.decide(held.der), Reason.PRINCIPAL_SUSPENDED)
    removal.remove(world.services, "alice", actor=OPERATOR)
    assert_refused(world.decide(held.der), Reason.PRINCIPAL_REMOVED, Reason.CERTIFICATE_REVOKED)


def test_nothing_matched_is_refused(world):
    """A good certificate without a rule is refused, with the authority that was judged."""
    decision = world.decide(world.issue("carol").der)
    assert_refused(decision, Reason.CERTIFICATE_VALID, Reason.NO_RULE_MATCHED)
    assert decision.principal is not None
    assert decision.permissions is not None


def test_each_application_has_its_own_rules(world):
    """A grant for one application is no grant for another."""
    held = world.issue("alice")
    assert_refused(world.decide(held.der, "sensors"), Reason.NO_RULE_MATCHED)
    assert world.decide(world.issue("sensor-1").der, "sensors").verdict.outcome is Outcome.GOOD


def test_unknown_application_is_refused(world):
    """An application that is not in the document admits no connection, and the event does not name it."""
    decision = world.decide(world.issue("alice").der, application_id="app_" + "z" * 20)
    assert_refused(decision, Reason.APPLICATION_UNKNOWN)
    assert decision.permissions is None
    assert "application" not in decision.event.data


def test_denied_part_gives_no_clearance(world):
    """A contractor among the tellers is admitted without the clearance of the deny rule."""
    teller, contractor = world.decide(world.issue("alice").der), world.decide(world.issue("bob").der)
    assert contractor.verdict.outcome is Outcome.GOOD
    assert set(contractor.grants) < set(teller.grants)


def test_hostile_words_are_made_printable(world):
    """Text that a peer claims cannot break a line of the log."""
    forged = toy_ca().leaf("a\\b")
    event = world.decide(forged.der, source_address="bad\naddress").event
    assert event.personal["source"] == "bad\\x0aaddress"


def test_decider_follows_the_changes(world):
    """A decider that lives on sees new applications, rules, groups and revocations at the next decision."""
    decider = world.decider()
    alice, carol = world.issue("alice"), world.issue("carol")

    def outcome(held, app="payments"):
        decision = decider.decide(world.context(app), held.der)
        assert decision.seq == world.head()
        return decision.verdict.outcome

    assert (outcome(alice), outcome(carol)) == (Outcome.GOOD, Outcome.BAD)
    directory.add_member(world.services, "tellers", "carol", actor=OPERATOR)
    assert outcome(carol) is Outcome.GOOD
    policies.apply_document(
        world.services, DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [auditors]}"),
        file="x.yaml", actor=OPERATOR,
    )  # fmt: skip
    assert outcome(carol) is Outcome.BAD
    assert decider.decide(world.context(), alice.der).revision == 2
    policies.apply_document(world.services, DOCUMENT, file="x.yaml", actor=OPERATOR)
    assert outcome(carol) is Outcome.GOOD
    revocation.revoke(world.services, carol.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    assert outcome(carol) is Outcome.BAD


def test_an_old_snapshot_is_judged_again(world):
    """The reading of a certificate is kept, no word about it: revoked since, suspended since, expired since."""
    decider = world.decider()
    revoked, suspended, expired = world.issue("alice"), world.issue("bob"), world.issue("alice")
    for held in (revoked, suspended, expired):
        assert decider.decide(world.context(), held.der).verdict.outcome is Outcome.GOOD
    revocation.revoke(world.services, revoked.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    directory.suspend(world.services, "bob", actor=OPERATOR)
    assert_refused(decider.decide(world.context(), revoked.der), Reason.CERTIFICATE_REVOKED)
    assert_refused(decider.decide(world.context(), suspended.der), Reason.PRINCIPAL_SUSPENDED)
    world.clock.turn(days=91)
    assert_refused(decider.decide(world.context(), expired.der), Reason.CERTIFICATE_EXPIRED)


def test_strangers_certificates_are_not_kept(world):
    """Only the inventory's certificates stay in memory: others could push them out."""
    decider = world.decider()
    decider.decide(world.context(), toy_ca().leaf("alice").der)
    assert len(decider._certificate_cache) == 0
    decider.decide(world.context(), world.issue("alice").der)
    assert len(decider._certificate_cache) == 1


def test_live_connection_is_judged_again(world):
    """A reassessment gives the same decision while nothing changes, and shows a loss after a change."""
    decider = world.decider()
    held = world.issue("alice")
    first = decider.decide(world.context(), held.der)
    world.clock.turn(hours=1)
    (again,) = decider.reassess_all([known(world, held)], world.clock.now())
    assert again.verdict.outcome is Outcome.GOOD
    assert (again.grants, again.deadline) == (first.grants, first.deadline)
    directory.remove_member(world.services, "tellers", "alice", actor=OPERATOR)
    (lost,) = decider.reassess_all([known(world, held)], world.clock.now())
    assert_refused(lost, Reason.NO_RULE_MATCHED)
    assert lost.seq == world.head()


def test_many_connections_are_judged_on_one_snapshot(world):
    """The follower judges all its connections in one reading, in the order given."""
    decider = world.decider()
    held = [world.issue(name) for name in ("alice", "carol", "bob")]
    revocation.revoke(world.services, held[2].record.id, RevocationReason.SUPERSEDED, OPERATOR)
    decisions = decider.reassess_all([known(world, one) for one in held], NOON)
    assert [one.verdict.outcome for one in decisions] == [Outcome.GOOD, Outcome.BAD, Outcome.BAD]
    assert len({one.seq for one in decisions}) == 1


def test_connection_of_an_unknown_certificate_is_refused(world):
    """A connection that the registry remembers and the inventory does not is over."""
    decider = world.decider()
    (lost,) = decider.reassess_all([(world.context(), "0" * 64)], NOON)
    assert_refused(lost, Reason.CERTIFICATE_MISSING)


def test_database_that_is_away_decides_nothing(world):
    """Without the database there is no decision: the caller gets the error and refuses."""
    held = world.issue("alice")
    context = world.context()
    world.work.broken = Unavailable("store-unavailable", "away")
    with pytest.raises(Unavailable):
        world.decider().decide(context, held.der)


def test_nothing_is_decided_before_the_founding():
    """Without an authority there is nothing to judge by."""
    world = empty_world()
    context = world.context(application_id="app_" + "z" * 20)
    with pytest.raises(NotFound):
        world.decider().decide(context, b"x")


def test_rules_see_the_certificate_that_was_found_good(world) -> None:
    """Its issuer by id, profile, names and key; of a refused one nothing."""
    held = world.issue("alice")
    subject = world.decide(held.der).subject
    assert subject is not None
    assert subject.certificate is not None
    assert subject.certificate.issuers == {held.record.authority_id}
    assert subject.certificate.profile == "person"
    assert subject.certificate.content.uris == ("spiffe://corp.example/person/alice",)
    assert subject.certificate.content.key == "ec-p256"
    assert world.decide(toy_ca().leaf("alice").der).subject is None


def test_a_judgement_within_a_transaction_needs_a_policy_that_is_loaded(world):
    """Nothing is loaded then: not before `prepare`, and not after a newer policy; after other changes it is ready."""
    decider = world.decider()
    with world.work.read() as stores:
        assert decider.prepared(stores) is None
    decider.prepare()
    held = world.issue("alice")
    with world.work.read() as stores:
        basis = decider.prepared(stores)
        assert basis.seq == world.head()
        decision = decider.decide_own(stores, basis, world.context(), held.der)
        assert decider.decide_own(stores, basis, world.context(), toy_ca().der) is None
    assert decision.verdict == world.decide(held.der).verdict
    policies.apply_document(world.services, DOCUMENT.replace("9000", "9009"), file="t.yaml", actor=OPERATOR)
    with world.work.read() as stores:
        assert decider.prepared(stores) is None


def test_authorities_are_loaded_before_a_judgement_within_a_transaction(world):
    """A newer policy that another part of the process has loaded already is not enough."""
    snapshots = PolicySnapshots()
    decider = world.decider(snapshots=snapshots)
    decider.prepare()
    policies.apply_document(world.services, DOCUMENT.replace("9000", "9009"), file="t.yaml", actor=OPERATOR)
    with world.work.read() as stores:
        assert snapshots.loaded(stores) is None
        snapshots.current(stores)
        assert snapshots.loaded(stores) is not None
        assert decider.prepared(stores) is None


def test_valid_certificates_of_our_own_are_told_apart(world):
    """A revoked one, one without a row and, before the policy is loaded, every one is not among them."""
    decider = world.decider()
    alice, bob = world.issue("alice"), world.issue("bob")
    revocation.revoke(world.services, bob.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
    digests = [alice.record.sha256, bob.record.sha256, "00" * 32]
    assert decider.are_own(digests) == [False, False, False]
    decider.prepare()
    assert decider.are_own(digests) == [True, False, False]
