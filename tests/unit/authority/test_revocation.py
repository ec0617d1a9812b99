"""Revoke, hold and release certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from doorward.audit.events import EventType
from doorward.authority import holder_certificates, revocation
from doorward.authority.issuing import RenewalClaim, issue
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.stores.records import ChangeKind
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR

COMPROMISE = RevocationReason.KEY_COMPROMISE


def told(world, held, hash_name="sha1"):
    """Return the status in the pre-signed response."""
    with world.work.read() as stores:
        answer = stores.status.ocsp(held.record.id, hash_name)
    return None if answer is None else ocsp.load_der_ocsp_response(answer.der)


def listed(crl):
    """Return the serial numbers on a CRL."""
    return {one.serial_number for one in x509.load_der_x509_crl(crl.der)}


@pytest.mark.parametrize("page", [1, 500])
def test_a_revocation_names_renewed_certificates(world, monkeypatch, page):
    """A revocation names each valid certificate renewed from it, over several renewals and pages."""
    monkeypatch.setattr(holder_certificates, "PAGE", page)

    def renewed(record):
        world.clock.turn(seconds=1)
        claim = RenewalClaim(actor=OPERATOR, certificate=record, is_by_operator=True)
        return issue(world.services, world.csr(), claim).record

    def revoke(record):
        wanted = CertificateState.REVOKED
        return revocation.ensure_state(
            world.services, record.id, wanted, reason=COMPROMISE, actor=OPERATOR
        ).notes

    first = world.issue("alice").record
    second = renewed(first)
    third = renewed(second)
    renewed(world.issue("alice").record)
    told = f"{third.id} was renewed from it and is valid: doorward cert revoke {third.id}"
    assert revoke(second) == (told,)
    assert revoke(first) == (told,)
    assert revoke(third) == ()


def test_revocation_is_state_answer_event_and_change_at_once(world):
    """State, both OCSP responses, event and change are one transaction."""
    held = world.issue("alice")
    assert told(world, held).certificate_status is ocsp.OCSPCertStatus.GOOD
    world.clock.turn(hours=1)
    seq = revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    record = world.certificate(held)
    assert (record.state, record.reason) == (CertificateState.REVOKED, COMPROMISE)
    assert record.revoked_at == NOON + timedelta(hours=1)
    for name in ("sha1", "sha256"):
        answer = told(world, held, name)
        assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert answer.revocation_reason is x509.ReasonFlags.key_compromise
    assert seq == world.head()
    with world.work.read() as stores:
        (change,) = stores.changes.since(seq - 1)
    assert (change.kind, change.subject) == (ChangeKind.CERTIFICATE, held.record.id)
    event = world.events(EventType.CERTIFICATE_REVOKED)[-1]
    assert event.data["reason"] == "key-compromise"
    assert event.data["principal"] == record.principal_id


def test_failed_transaction_changes_nothing(world):
    """If the event cannot be stored, the certificate does not change."""
    held = world.issue("alice")
    world.work.broken = Unavailable("store-unavailable", "away")
    with pytest.raises(Unavailable):
        revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    world.work.broken = None
    assert world.certificate(held).state is CertificateState.VALID


def test_revocation_is_final(world):
    """A revoked certificate never becomes valid again."""
    held = world.issue("alice")
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    before = world.work.events
    for step in (
        lambda: revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR),
        lambda: revocation.hold(world.services, held.record.id, OPERATOR),
        lambda: revocation.release(world.services, held.record.id, OPERATOR),
    ):
        with refused(RequestRefused, "transition-refused"):
            step()
    assert world.work.events == before


def test_hold_and_release(world):
    """A held certificate is listed with certificate-hold, and good again after release."""
    held = world.issue("alice")
    assert revocation.hold(world.services, held.record.id, OPERATOR) == world.head()
    assert world.certificate(held).state is CertificateState.ON_HOLD
    assert told(world, held).revocation_reason is x509.ReasonFlags.certificate_hold
    assert revocation.release(world.services, held.record.id, OPERATOR) == world.head()
    record = world.certificate(held)
    assert (record.state, record.reason, record.revoked_at) == (CertificateState.VALID, None, None)
    assert told(world, held).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert world.events(EventType.CERTIFICATE_HELD)[-1].data["reason"] == "certificate-hold"
    assert "reason" not in world.events(EventType.CERTIFICATE_RELEASED)[-1].data


def test_revocation_after_hold_counts_from_the_hold(world):
    """A certificate revoked after a hold keeps the time of the hold."""
    held = world.issue("alice")
    revocation.hold(world.services, held.record.id, OPERATOR)
    world.clock.turn(hours=5)
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    assert world.certificate(held).revoked_at == NOON


@pytest.mark.parametrize(
    "reason",
    [RevocationReason.CERTIFICATE_HOLD, RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE],
)
def test_reason_that_does_not_fit_is_refused(world, reason):
    """The reason of a hold and the reason for an authority are refused for a leaf's revocation."""
    held = world.issue("alice")
    with refused(RequestRefused, "reason-refused"):
        revocation.revoke(world.services, held.record.id, reason, OPERATOR)


def test_unknown_certificate(world):
    """An unknown certificate is refused."""
    for step in (
        lambda: revocation.revoke(world.services, "crt_nothing", COMPROMISE, OPERATOR),
        lambda: revocation.hold(world.services, "crt_nothing", OPERATOR),
        lambda: revocation.release(world.services, "crt_nothing", OPERATOR),
    ):
        with refused(NotFound, "certificate-unknown"):
            step()


def test_revocation_needs_no_key(world):
    """Without the responder's key the certificate is revoked and its old answers are removed."""
    held = world.issue("alice")
    revocation.revoke(replace(world.services, keys=None), held.record.id, COMPROMISE, OPERATOR)
    assert world.certificate(held).state is CertificateState.REVOKED
    assert told(world, held) is None


def test_certificate_of_an_older_authority_gets_no_answer(world):
    """The current responder does not answer for another issuing authority."""
    held = world.issue("alice")
    with world.work.change() as stores:
        signer = signer_if_any(world.services, stores)
    assert signer.sign(replace(held.record, authority_id="aut_other"), NOON) == ()


def test_a_person_names_a_certificate_and_a_state(world):
    """A certificate is named by a prefix of its id; the result is the certificate after the change."""
    held = world.issue("alice")
    for wanted, given, why in (
        (CertificateState.ON_HOLD, None, RevocationReason.CERTIFICATE_HOLD),
        (CertificateState.VALID, None, None),
        (CertificateState.REVOKED, COMPROMISE, COMPROMISE),
    ):
        done = revocation.ensure_state(
            world.services, held.record.id[:16], wanted, reason=given, actor=OPERATOR
        )
        assert (done.value.id, done.value.state, done.value.reason) == (held.record.id, wanted, why)
        assert (done.seq, done.notes) == (world.head(), ())


def test_a_certificate_in_the_wanted_state_is_not_changed(world):
    """No event and no change; the note has the reason of the revocation."""
    held = world.issue("alice")
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    before = world.head(), len(world.events(EventType.CERTIFICATE_REVOKED))
    done = revocation.ensure_state(
        world.services,
        held.record.id,
        CertificateState.REVOKED,
        reason=RevocationReason.SUPERSEDED,
        actor=OPERATOR,
    )
    assert (done.value.reason, done.seq) == (COMPROMISE, before[0])
    assert done.notes == ("it was revoked already: key-compromise",)
    assert (world.head(), len(world.events(EventType.CERTIFICATE_REVOKED))) == before


def test_unknown_certificates_and_transitions_are_refused(world):
    """An unknown certificate, and a transition that is not in the table, are refused."""
    held = world.issue("alice")
    with pytest.raises(NotFound):
        revocation.ensure_state(world.services, "crt_unknown", CertificateState.REVOKED, actor=OPERATOR)
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    with refused(RequestRefused, "transition-refused"):
        revocation.ensure_state(world.services, held.record.id, CertificateState.ON_HOLD, actor=OPERATOR)
