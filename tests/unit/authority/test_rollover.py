"""A rollover of the issuing authority: each step, what it refuses, and a crash at each transaction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority import founding, gateways, issuing, revocation
from doorward.authority.rollover import leaving, moving, preparing, progress, schedule
from doorward.authority.rollover.table import FACTS, Side
from doorward.authority.status import crls, ocsp_refresh
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import Outcome, Reason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.stores.authority_protocols import RolloverState
from doorward.stores.records import AuthorityKind
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, found_world

PASSPHRASE = b"correct horse battery"


@pytest.fixture
def world():
    """A founded authority with its first CRL, as `serve` publishes it."""
    founded = found_world()
    crls.publish_crls(founded.services)
    return founded


def rollover_of(world):
    """Return the rollover that is going on."""
    with world.work.read() as stores:
        return stores.rollovers.open()


def issuers(world):
    """Return the id of the current issuing authority, and the ids of the trusted ones."""
    with world.work.read() as stores:
        current = stores.authorities.current(AuthorityKind.ISSUING).id
    return current, [one.id for one in world.snapshot().issuers]


def renew(world, held):
    """Return the successor of a certificate, as its holder's agent gets it."""
    claim = issuing.RenewalClaim(actor=OPERATOR, certificate=world.certificate(held))
    return issuing.issue(world.services, world.csr(), claim)


def prepared(world):
    """Return a rollover with both authorities trusted."""
    return preparing.prepare(world.services, actor=OPERATOR).value


def draining(world, window=timedelta(hours=1)):
    """Return a rollover that issues the certificates of the old authority again."""
    prepared(world)
    moving.activate(world.services, actor=OPERATOR)
    return moving.drain(world.services, actor=OPERATOR, window=window).value


def test_the_new_authority_is_complete_before_anything_names_it(world):
    """Prepare makes the certificate, its responder and its CRL; both are trusted, and the old one still issues."""
    old, _ = issuers(world)
    made = prepared(world)
    current, trusted = issuers(world)
    assert (current, set(trusted)) == (old, {old, made.new_id})
    with world.work.read() as stores:
        authority, root = stores.authorities.get(made.new_id), stores.authorities.current(AuthorityKind.ROOT)
        crl, delegate = stores.status.crl(made.new_id), stores.authorities.responder(made.new_id)
    certificate = x509.load_der_x509_certificate(authority.der)
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(root.der))
    assert x509.load_der_x509_crl(crl.der).is_signature_valid(certificate.public_key())
    x509.load_der_x509_certificate(delegate.der).verify_directly_issued_by(certificate)
    assert world.issue("alice").record.authority_id == old
    assert [event.data["rollover"] for event in world.events(EventType.AUTHORITY_ROLLOVER_PREPARED)] == [
        made.id
    ]


def test_a_rollover_from_beginning_to_end(world):
    """Old leaves are good until the old authority retires; then only the new ones are, and the old key is gone."""
    alice, bob = world.issue("alice"), world.issue("bob")
    draining(world)
    fresh = renew(world, alice)
    assert fresh.record.authority_id == rollover_of(world).new_id
    newcomer = world.issue("carol")
    for der in (alice.der, bob.der, fresh.record.der):
        assert world.decide(der).verdict.outcome is Outcome.GOOD
    with refused(RequestRefused, "rollover-incomplete"):
        leaving.retire(world.services, actor=OPERATOR)
    renew(world, bob)
    old = rollover_of(world).old_id
    leaving.retire(world.services, actor=OPERATOR)
    for der in (alice.der, bob.der):
        assert Reason.ISSUER_UNKNOWN in world.decide(der).verdict.reasons
    done = leaving.finish_leaving(world.services, actor="system")
    assert done.state is RolloverState.RETIRED
    assert leaving.finish_leaving(world.services, actor="system") is None
    assert world.decide(fresh.record.der).verdict.outcome is Outcome.GOOD
    assert world.decide(newcomer.der, "payments").verdict.reasons[0] is Reason.CERTIFICATE_WELL_FORMED
    assert issuers(world) == (done.new_id, [done.new_id])
    assert world.keys.names() == ["issuing-2", "ocsp-2", "root-1"]
    with world.work.read() as stores:
        last = x509.load_der_x509_crl(stores.status.crl(old).der)
        end = stores.authorities.get(old).not_after
    assert last.next_update_utc == end
    assert {one.serial_number for one in last} == {alice.record.serial, bob.record.serial}


def test_an_authority_that_retires_on_its_last_day_signs_its_last_list(world):
    """The list from before lasts beyond its end, has nothing of the retirement, and is not taken for the last one."""
    with world.work.read() as stores:
        old = stores.authorities.current(AuthorityKind.ISSUING)
    world.clock.turn(seconds=(old.not_after - timedelta(hours=20) - world.clock.now()).total_seconds())
    alice = world.issue("alice")
    crls.publish_crls(world.services)
    draining(world)
    renew(world, alice)
    leaving.retire(world.services, actor=OPERATOR)
    leaving.finish_leaving(world.services, actor="system")
    with world.work.read() as stores:
        last = x509.load_der_x509_crl(stores.status.crl(old.id).der)
    assert [one.serial_number for one in last] == [alice.record.serial]
    assert last.next_update_utc == old.not_after


def test_what_is_abandoned_is_refused_and_listed(world):
    """With --abandon-missing the old authority retires; a leaf without a successor is refused, and its CRL says why."""
    alice, bob = world.issue("alice"), world.issue("bob")
    made = draining(world)
    renew(world, alice)
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True)
    leaving.finish_leaving(world.services, actor="system")
    assert Reason.ISSUER_UNKNOWN in world.decide(bob.der).verdict.reasons
    assert world.certificate(bob).reason is RevocationReason.CESSATION_OF_OPERATION
    assert world.certificate(alice).reason is RevocationReason.SUPERSEDED
    (event,) = world.events(EventType.AUTHORITY_ROLLOVER_RETIRED)
    assert (event.data["former"], event.data["number"]) == (made.old_id, 1)


def test_only_the_new_authority_issues_after_activation(world):
    """A certificate that was prepared by the old authority is prepared again if the new one took over meanwhile."""
    prepared(world)
    claim = world.claim("alice")

    class Late:
        """Activates between the first and the second examination of the claim."""

        actor, holder, name = claim.actor, claim.holder, claim.name
        redeem, settle, calls = claim.redeem, claim.settle, 0

        def examine(self, stores, now):
            self.calls += 1
            return claim.examine(stores, now)

    late = Late()
    real = world.services.factory.generate
    state = {"done": False}

    class Factory:
        def generate(self, kind):
            if late.calls == 1 and not state["done"]:
                state["done"] = True
                moving.activate(world.services, actor=OPERATOR)
            return real(kind)

    request = world.csr()
    issued = issuing.issue(replace(world.services, factory=Factory()), request, late)
    assert issued.record.authority_id == rollover_of(world).new_id
    assert len(world.events(EventType.CERTIFICATE_INTENDED)) == 1


def test_undo_goes_back_and_issues_again_by_the_old_one(world):
    """After an undo the old one issues; certificates of the new one stay good until the new one is given up."""
    old, _ = issuers(world)
    draining(world)
    young = world.issue("alice")
    back = moving.undo(world.services, actor=OPERATOR).value
    assert back.state is RolloverState.REVERTING
    assert issuers(world)[0] == old
    assert set(issuers(world)[1]) == {old, back.new_id}
    assert world.decide(young.der).verdict.outcome is Outcome.GOOD
    with world.work.read() as stores:
        assert schedule.must_renew(stores, young.record, NOON) is not None
    with refused(RequestRefused, "rollover-incomplete"):
        moving.undo(world.services, actor=OPERATOR)
    again = renew(world, young)
    assert again.record.authority_id == old
    moving.undo(world.services, actor=OPERATOR)
    assert leaving.finish_leaving(world.services, actor="system").state is RolloverState.WITHDRAWN
    assert issuers(world) == (old, [old])
    assert Reason.ISSUER_UNKNOWN in world.decide(young.der).verdict.reasons
    assert world.decide(again.record.der).verdict.outcome is Outcome.GOOD
    assert world.keys.names() == ["issuing-1", "ocsp-1", "root-1"]
    assert prepared(world).key_name == "issuing-3"  # its name is new, too: one name is one issuer
    assert "ocsp-3" in world.keys.names()


def test_forward_again_after_an_undo(world):
    """An undo can itself be undone."""
    draining(world)
    moving.undo(world.services, actor=OPERATOR)
    assert moving.activate(world.services, actor=OPERATOR).value.state is RolloverState.ACTIVE
    assert issuers(world)[0] == rollover_of(world).new_id


def test_a_repeated_step_changes_nothing(world):
    """A step that is made already is noted, and makes no change and no event."""
    prepared(world)
    for again in (
        lambda: preparing.prepare(world.services, actor=OPERATOR),
        lambda: moving.activate(world.services, actor=OPERATOR),
        lambda: moving.drain(world.services, actor=OPERATOR),
        lambda: leaving.retire(world.services, actor=OPERATOR),
    ):
        again()
        head, events = world.head(), len(world.work.events)
        assert again().notes
        assert (world.head(), len(world.work.events)) == (head, events)


def test_steps_out_of_order_are_refused(world):
    """Without a rollover nothing can be activated; a prepared one can be neither drained nor retired."""
    for step in (moving.activate, moving.drain, moving.undo, leaving.retire):
        with refused(NotFound, "rollover-none"):
            step(world.services, actor=OPERATOR)
    prepared(world)
    for step in (moving.drain, leaving.retire):
        with refused(RequestRefused, "rollover-step-refused"):
            step(world.services, actor=OPERATOR)


def test_the_loser_of_a_race_moves_nothing(world):
    """Two processes make the same step from the same state: one of them is refused."""
    seen = prepared(world)
    moving.activate(world.services, actor=OPERATOR)
    head = world.head()
    with refused(RequestRefused, "rollover-moved"):
        moving.make_step(world.services, seen, moving.RolloverStep.ACTIVATE, actor=OPERATOR)
    assert world.head() == head


@pytest.mark.parametrize("steps", range(4))
def test_no_step_before_every_gateway_has_followed(world, steps):
    """Each step waits for every gateway's confirmation; one that is away is waited for, unless it is ignored."""
    gateway = world.gateway()
    world.issue("alice")

    def report(seq, *names):
        gateways.confirm(world.services, gateway.id, seq, json.dumps({"issuers": names}))

    every = [
        lambda **more: moving.activate(world.services, actor=OPERATOR, **more),
        lambda **more: moving.drain(world.services, actor=OPERATOR, **more),
        lambda **more: leaving.retire(world.services, actor=OPERATOR, abandon_missing=True, **more),
        lambda **more: None,
    ]
    prepared(world)
    for step in every[:steps]:
        report(world.head())
        step()
    step = every[steps]
    if steps < 3:
        with refused(RequestRefused, "rollover-unconfirmed"):
            step()
        world.clock.turn(minutes=1)
        with refused(RequestRefused, "rollover-unconfirmed"):
            step()
        assert step(ignore_away=True) is not None


def test_a_gateway_counts_by_what_it_serves(world):
    """A gateway that has confirmed, but still serves a certificate of the old authority, keeps it from retiring."""
    gateway = world.gateway()
    gateways.confirm(world.services, gateway.id, world.head() + 9, "{}")
    made = draining(world)
    with world.work.read() as stores:
        old = hashlib.sha256(stores.authorities.get(made.old_id).der).hexdigest()
    for status in ("{}", "no json", '{"issuers": null}', json.dumps({"issuers": [old]})):
        gateways.confirm(world.services, gateway.id, made.seq, status)
        with refused(RequestRefused, "rollover-unconfirmed"):
            leaving.retire(world.services, actor=OPERATOR)
    gateways.confirm(world.services, gateway.id, made.seq, json.dumps({"issuers": ["another"]}))
    assert leaving.retire(world.services, actor=OPERATOR).value.state is RolloverState.RETIRING


def test_progress_follows_the_line_of_renewals(world):
    """A certificate counts as replaced by any later one of its line, if the staying authority issued it and it is valid."""
    first = world.issue("alice")
    second = renew(world, first)
    made = draining(world)
    assert progress.measure_progress(world.services, made).percent == 0
    third = issuing.issue(
        world.services, world.csr(), issuing.RenewalClaim(actor=OPERATOR, certificate=second.record)
    )
    found = progress.measure_progress(world.services, made)
    assert (found.total, found.percent, found.replaced) == (2, 100, {first.record.id, second.record.id})
    revocation.revoke(world.services, third.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert len(progress.measure_progress(world.services, made).missing) == 2


def test_held_and_new_certificates_of_the_same_holder_do_not_count(world):
    """A second certificate of the same person is no successor; one on hold is missing; an ended one is not."""
    alice, bob = world.issue("alice"), world.issue("bob")
    made = draining(world)
    world.issue("alice")
    revocation.hold(world.services, bob.record.id, OPERATOR)
    found = progress.measure_progress(world.services, made)
    assert {one.id for one in found.missing} == {alice.record.id, bob.record.id}
    world.clock.turn(days=91)
    assert progress.measure_progress(world.services, made).total == 0


def test_certificates_are_spread_over_the_window(world):
    """Each certificate has its moment, the same at each question; others than those of the old authority have none."""
    held = [world.issue("alice") for _ in range(40)]
    with world.work.read() as stores:
        assert schedule.must_renew(stores, held[0].record, NOON) is None
    made = draining(world, timedelta(hours=10))
    with world.work.read() as stores:
        moments = [schedule.must_renew(stores, one.record, NOON) for one in held]
        assert moments == [schedule.must_renew(stores, one.record, NOON) for one in held]
        gone = replace(held[0].record, state=CertificateState.REVOKED)
        assert schedule.must_renew(stores, gone, NOON) is None
        young = world.issue("alice").record
    assert made.moved_at <= min(moments) < made.moved_at + timedelta(hours=4)
    assert made.moved_at + timedelta(hours=6) < max(moments) <= made.moved_at + timedelta(hours=10)
    with world.work.read() as stores:
        assert schedule.must_renew(stores, young, NOON) is None


def test_a_window_is_long_enough_for_a_large_fleet():
    """At most so many certificates a minute are asked for, however short a window is wanted."""
    assert schedule.choose_window(timedelta(0), 60_000) == timedelta(minutes=100)
    assert schedule.choose_window(timedelta(hours=24), 60_000) == timedelta(hours=24)


def test_a_leaf_is_due_by_the_earliest_end_in_its_chain(world):
    """If its authority ends before the leaf, two thirds of the chain's life decide (a leaf alone would be "not due")."""
    record = world.issue("alice").record
    later = replace(record, not_after=record.not_before + timedelta(days=365 * 9))
    with world.work.read() as stores:
        authority = stores.authorities.get(record.authority_id)
        assert schedule.chain_end(stores, later) == authority.not_after
        due = schedule.must_renew(stores, later, NOON)
        assert schedule.must_renew(stores, record, NOON) is None
    assert due == later.not_before + (authority.not_after - later.not_before) * 2 / 3


def test_a_window_out_of_bounds_is_refused(world):
    """Certificates are spread over 0 to 90 days; another window begins the spreading again."""
    draining(world)
    for wrong in (timedelta(days=91), timedelta(seconds=-1)):
        with refused(MalformedInput, "rollover-window"):
            moving.drain(world.services, actor=OPERATOR, window=wrong)
    world.clock.turn(hours=2)
    again = moving.drain(world.services, actor=OPERATOR, window=timedelta(hours=3)).value
    assert (again.window, again.moved_at) == (timedelta(hours=3), world.clock.now())


def test_a_step_without_the_key_is_refused(world):
    """If the key store was restored without a key, its authority cannot be made the issuing one, in either direction."""
    made = prepared(world)
    kept = world.keys.load("issuing-2")
    world.keys.remove("issuing-2")
    with refused(RequestRefused, "rollover-key-missing"):
        moving.activate(world.services, actor=OPERATOR)
    world.keys.store("issuing-2", world.keys.load("issuing-1"))
    with refused(RequestRefused, "rollover-key-missing"):
        moving.activate(world.services, actor=OPERATOR)
    world.keys.remove("issuing-2")
    world.keys.store("issuing-2", kept)
    moving.activate(world.services, actor=OPERATOR)
    world.keys.remove("issuing-1")
    with refused(RequestRefused, "rollover-key-missing"):
        moving.undo(world.services, actor=OPERATOR)
    assert issuers(world)[0] == made.new_id


def test_an_exported_root_key_prepares_too(world):
    """If the root's key is offline, its export signs once; without it, prepare says what to do."""
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    with refused(NotFound, "root-key-removed"):
        preparing.prepare(world.services, actor=OPERATOR)
    made = preparing.prepare(world.services, actor=OPERATOR, exported=pem, passphrase=PASSPHRASE).value
    assert made.state is RolloverState.PREPARED
    assert "root-1" not in world.keys.names()


def test_a_root_that_ends_soon_is_refused(world):
    """A new authority that would end before the present one is no successor."""
    world.clock.turn(days=365 * 9)
    with world.work.change() as stores:
        old = stores.authorities.current(AuthorityKind.ISSUING)
        stores.authorities.add(replace(old, not_after=NOON + timedelta(days=365 * 20)))
    with refused(RequestRefused, "root-ends-soon"):
        preparing.prepare(world.services, actor=OPERATOR)
    assert rollover_of(world) is None


def test_both_authorities_answer_for_their_certificates(world):
    """During a rollover each authority has its own current CRL and OCSP responses, made again in time."""
    old = world.issue("alice")
    draining(world)
    young = renew(world, old).record
    for record in (old.record, young):
        revocation.revoke(world.services, record.id, RevocationReason.SUPERSEDED, OPERATOR)
    world.clock.turn(hours=13)
    for authority_id in crls.publishing_authorities(world.services):
        due = crls.due_crls(world.services, world.clock.now(), authority_id)
        made = crls.publish_crls(world.services, due, authority_id)[""]
        (entry,) = x509.load_der_x509_crl(made.der)
        assert entry.serial_number in (old.record.serial, young.serial)
    with world.work.read() as stores:
        assert stores.status.ocsp(old.record.id, "sha256") is not None
    assert ocsp_refresh.refresh_ocsp(world.services).signed == 2
    world.clock.turn(days=21)
    due = founding.due_responders(world.services)
    assert len(due) == 2
    for one in due:
        founding.renew_responder(world.services, actor="system", issuing_id=one)
    assert founding.due_responders(world.services) == ()


def test_a_list_that_was_being_made_does_not_replace_the_last_one(world):
    """A CRL of the old authority that `serve` signs while it retires is dropped: the last one stays."""
    world.issue("alice")
    made = draining(world)
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True)
    with world.work.read() as stores:
        before = stores.status.crl_number(made.old_id)
    crls.publish_crls(world.services, ("",), made.old_id)
    with world.work.read() as stores:
        assert stores.status.crl_number(made.old_id) == before
    assert made.old_id not in crls.publishing_authorities(world.services)


def test_facts_of_the_table_hold_in_every_state(world):
    """In each state the authorities that issue and that are trusted are those that the table says."""

    def check():
        now = rollover_of(world)
        facts = FACTS[now.state]
        ids = {Side.OLD: now.old_id, Side.NEW: now.new_id}
        current, trusted = issuers(world)
        assert current == ids[facts.issues]
        assert set(trusted) == {ids[side] for side in facts.trusted}

    prepared(world)
    check()
    moving.activate(world.services, actor=OPERATOR)
    check()
    moving.drain(world.services, actor=OPERATOR)
    check()
    moving.undo(world.services, actor=OPERATOR)
    check()
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR)
    leaving.retire(world.services, actor=OPERATOR)
    check()
