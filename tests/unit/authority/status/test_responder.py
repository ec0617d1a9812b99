"""Answers for relying parties: OCSP, CRLs, authority certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.authority import founding, issuing, revocation
from doorward.authority.status import crls, ocsp_responses, published_objects
from doorward.authority.status.ocsp_refresh import OcspRefreshResult, refresh_ocsp
from doorward.authority.status.ocsp_responses import replace_responses
from doorward.core.certificate import RevocationReason
from doorward.core.errors import IntegrityError, NotFound, Unavailable
from doorward.directory import removal
from doorward.stores.ocsp_signing_limiter import OcspSigningLimiter
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import toy_ca
from tests.support.interleaving import before_change
from tests.support.ocsp_listener import answer_ocsp
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, empty_world

GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
DONE = ocsp.OCSPResponseStatus.SUCCESSFUL
NONCE = b"0123456789abcdef"


def issuer_of(world):
    """Return the current issuing authority's certificate."""
    with world.work.read() as stores:
        return x509.load_der_x509_certificate(stores.authorities.current(AuthorityKind.ISSUING).der)


def question(certificate, issuer, *, nonce=None, algorithm=hashes.SHA1):
    """Return an OCSP request in DER."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def ask(world, held, **options):
    """Return the parsed answer about a certificate."""
    leaf = x509.load_der_x509_certificate(held.der)
    services = options.pop("services", world.services)
    return ocsp.load_der_ocsp_response(answer_ocsp(services, question(leaf, issuer_of(world), **options)))


@pytest.mark.parametrize("algorithm", [hashes.SHA1, hashes.SHA256])
def test_pre_signed_answer_is_returned(world, algorithm):
    """Without a nonce the stored answer is returned unchanged, signed by the delegated responder."""
    held = world.issue("alice")
    world.clock.turn(hours=1)
    answer = ask(world, held, algorithm=algorithm)
    assert (answer.response_status, answer.certificate_status) == (DONE, GOOD)
    assert answer.this_update_utc == NOON
    (delegate,) = answer.certificates
    delegate.verify_directly_issued_by(issuer_of(world))
    key = delegate.public_key()
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    key.verify(answer.signature, answer.tbs_response_bytes, ECDSA(hashes.SHA256()))


def test_nonce_is_answered_live(world):
    """A request with a nonce gets an answer that is signed for it."""
    held = world.issue("alice")
    world.clock.turn(hours=1)
    answer = ask(world, held, nonce=NONCE)
    assert answer.certificate_status is GOOD
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE
    assert answer.this_update_utc == NOON + timedelta(hours=1)


def test_revocation_is_answered_at_once(world):
    """After a revocation both kinds of responses say revoked."""
    held = world.issue("alice")
    revocation.revoke(world.services, held.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    for nonce in (None, NONCE):
        answer = ask(world, held, nonce=nonce)
        assert answer.certificate_status is REVOKED
        assert answer.revocation_reason is x509.ReasonFlags.superseded


def test_stale_answer_is_not_given(world):
    """An expired answer is signed again."""
    held = world.issue("alice")
    world.clock.turn(hours=12)
    assert ask(world, held).this_update_utc == NOON + timedelta(hours=12)


def test_missing_answer_is_signed(world):
    """Without a pre-signed response, one is signed on request."""
    held = world.issue("alice")
    with world.work.change() as stores:
        replace_responses(stores, held.record.id, (), NOON)
    assert ask(world, held).certificate_status is GOOD


def test_serial_that_was_never_issued_is_unknown(world):
    """A serial number that our issuer never used is unknown, which is not good."""
    answer = ask_made_up(world, world.issue("alice"), world.services)
    assert answer.certificate_status is UNKNOWN


def ask_made_up(world, held, services):
    """Return the answer about an unused serial number of a certificate's issuer."""
    known = question(x509.load_der_x509_certificate(held.der), issuer_of(world))
    request = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*_hashes(known), 4711, hashes.SHA1())
    der = request.build().public_bytes(Encoding.DER)
    return ocsp.load_der_ocsp_response(answer_ocsp(services, der))


def _hashes(der):
    request = ocsp.load_der_ocsp_request(der)
    return request.issuer_name_hash, request.issuer_key_hash


def test_intent_is_unknown(world):
    """A certificate that was never issued is never good."""
    held = world.issue("alice")
    intent = replace(held.record, id="crt_" + "z" * 20, serial=4711, sha256="e" * 64)
    with world.work.change() as stores:
        stores.certificates.add_intended(intent)
    issuer = issuer_of(world)
    request = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        *_hashes(question(x509.load_der_x509_certificate(held.der), issuer)), 4711, hashes.SHA1()
    )
    answer = ocsp.load_der_ocsp_response(
        answer_ocsp(world.services, request.build().public_bytes(Encoding.DER))
    )
    assert answer.certificate_status is UNKNOWN


def test_foreign_issuer_is_unauthorized(world):
    """We do not answer for other authorities (RFC 5019 section 2.2.3)."""
    toy = toy_ca()
    leaf = toy.leaf("alice").certificate
    answer = ocsp.load_der_ocsp_response(answer_ocsp(world.services, question(leaf, toy.certificate)))
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("request_bytes", [b"", b"nonsense", b"0" * 9000])
def test_bad_bytes_are_malformed(world, request_bytes):
    """Any bytes get an answer; those that do not parse get malformedRequest."""
    answer = ocsp.load_der_ocsp_response(answer_ocsp(world.services, request_bytes))
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Unavailable("store-busy", "busy"), ocsp.OCSPResponseStatus.TRY_LATER),
        (IntegrityError("broken", "broken"), ocsp.OCSPResponseStatus.INTERNAL_ERROR),
    ],
)
def test_own_faults_become_ocsp_failures(world, fault, said):
    """A missing database is tryLater, an integrity error is internalError; nothing is raised."""
    held = world.issue("alice")
    request = question(x509.load_der_x509_certificate(held.der), issuer_of(world))
    world.work.broken = fault
    assert ocsp.load_der_ocsp_response(answer_ocsp(world.services, request)).response_status is said


def test_without_keys_pre_signed_answers_are_returned(world):
    """Without the key store, stored responses are returned, also for a nonce."""
    held = world.issue("alice")
    services = replace(world.services, keys=None)
    assert ask(world, held, services=services).certificate_status is GOOD
    answer = ask(world, held, services=services, nonce=NONCE)
    assert (answer.certificate_status, answer.this_update_utc) == (GOOD, NOON)
    world.clock.turn(hours=13)
    assert ask(world, held, services=services).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_a_retired_authority_is_not_answered_live(world):
    """Nothing is signed for a retired authority: what was signed before is returned, also for a nonce."""
    held = world.issue("alice")
    issuer = issuer_of(world)
    with world.work.change() as stores:
        stores.authorities.retire(held.record.authority_id, NOON, RevocationReason.SUPERSEDED)
    request = question(x509.load_der_x509_certificate(held.der), issuer, nonce=NONCE)
    answer = ocsp.load_der_ocsp_response(answer_ocsp(world.services, request))
    assert answer.response_status is DONE
    assert len(list(answer.extensions)) == 0
    assert answer.this_update_utc == NOON


def test_signatures_for_strangers_are_bounded(world):
    """Beyond the limit a nonce is left out, an unknown serial gets tryLater, and pre-signed responses work."""
    held = world.issue("alice")
    services = replace(world.services, ocsp_signing_limiter=OcspSigningLimiter(per_second=2))

    def has_nonce():
        return len(list(ask(world, held, services=services, nonce=NONCE).extensions)) == 1

    assert [has_nonce() for _ in range(4)] == [True, True, False, False]
    later = ocsp.OCSPResponseStatus.TRY_LATER
    assert ask_made_up(world, held, services).response_status is later
    assert ask(world, held, services=services, nonce=NONCE).certificate_status is GOOD
    assert ask(world, held, services=services).certificate_status is GOOD
    revocation.revoke(services, held.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    assert ask(world, held, services=services, nonce=NONCE).certificate_status is REVOKED
    world.clock.turn(seconds=1)
    assert ask_made_up(world, held, services).certificate_status is UNKNOWN
    assert [has_nonce() for _ in range(2)] == [True, False]


def test_refresh_signs_after_half_of_the_lifetime(world):
    """Answers are signed again after half of their lifetime, in pages, each certificate once."""
    held = [world.issue(name) for name in ("alice", "bob", "carol")]
    assert refresh_ocsp(world.services) == OcspRefreshResult(looked_at=0, signed=0, more=False)
    world.clock.turn(hours=6)
    assert refresh_ocsp(world.services, limit=2) == OcspRefreshResult(looked_at=2, signed=2, more=True)
    assert refresh_ocsp(world.services, limit=2) == OcspRefreshResult(looked_at=1, signed=1, more=False)
    assert all(ask(world, one).this_update_utc == NOON + timedelta(hours=6) for one in held)
    assert refresh_ocsp(world.services).looked_at == 0


def test_refresh_signs_missing_answers(world):
    """If a state changed while the responder's key was missing, the refresh signs the current state."""
    held = world.issue("alice")
    with world.work.read() as stores:
        responder = stores.authorities.current(AuthorityKind.OCSP_RESPONDER)
    key = world.keys.load(responder.key_name)
    world.keys.remove(responder.key_name)
    removal.remove(world.services, "alice", actor=OPERATOR)
    world.keys.store(responder.key_name, key)
    assert refresh_ocsp(world.services) == OcspRefreshResult(looked_at=1, signed=1, more=False)
    services = replace(world.services, keys=None)
    assert ask(world, held, services=services).certificate_status is REVOKED


def test_refresh_removes_answers_that_are_not_needed(world):
    """Answers about expired, foreign and unknown certificates are removed after one look."""
    kept, expired, foreign = (world.issue(name) for name in ("alice", "bob", "carol"))
    with world.work.change() as stores:
        for one, changes in ((expired, {"not_after": NOON}), (foreign, {"authority_id": "aut_other"})):
            stores.certificates.state.certificates[one.record.id] = replace(one.record, **changes)
        stores.status.await_ocsp("crt_nobody", NOON)
    world.clock.turn(hours=6)
    assert refresh_ocsp(world.services) == OcspRefreshResult(looked_at=4, signed=1, more=False)
    world.clock.turn(hours=6)
    assert refresh_ocsp(world.services) == OcspRefreshResult(looked_at=1, signed=1, more=False)
    with world.work.read() as stores:
        assert {key[0] for key in stores.status.state.ocsp} == {kept.record.id}


def test_refresh_needs_no_key_if_nothing_is_due(world):
    """While all responses are fresh, neither the inventory nor the key store is read."""
    world.issue("alice")
    assert refresh_ocsp(replace(world.services, keys=None)).looked_at == 0


def test_refresh_uses_the_renewed_responder(world):
    """After a renewal new responses contain the new responder's certificate."""
    held = world.issue("alice")
    world.clock.turn(days=21)
    founding.renew_responder(world.services, actor="system")
    refresh_ocsp(world.services)
    with world.work.read() as stores:
        responder = stores.authorities.current(AuthorityKind.OCSP_RESPONDER)
    assert ask(world, held).certificates[0] == x509.load_der_x509_certificate(responder.der)


def responder_of(world):
    """Return the record of the current OCSP responder."""
    with world.work.read() as stores:
        return stores.authorities.current(AuthorityKind.OCSP_RESPONDER)


def test_expired_responder_signs_nothing(world):
    """An expired responder signs nothing; certificates are still issued, and a renewal repairs it."""
    before = world.issue("alice")
    world.clock.turn(days=30)
    assert responder_of(world).not_after == world.clock.now()
    held = world.issue("bob")
    for one in (before, held):
        for nonce in (None, NONCE):
            assert ask(world, one, nonce=nonce).response_status is ocsp.OCSPResponseStatus.TRY_LATER
    revocation.revoke(world.services, held.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    with refused(Unavailable, "responder-expired"):
        refresh_ocsp(world.services)
    assert "responder-expired" in published_objects.find_faults(world.services, world.clock.now())
    founding.renew_responder(world.services, actor="system")
    assert refresh_ocsp(world.services).signed == 2
    assert (ask(world, before).certificate_status, ask(world, held).certificate_status) == (GOOD, REVOKED)
    assert "responder-expired" not in published_objects.find_faults(world.services, world.clock.now())


def test_answer_ends_with_its_responder(world):
    """No answer is valid longer than its signer's certificate, and none is signed twice because of that."""
    services = replace(world.services, ocsp_lifetime=timedelta(days=30))
    world.clock.turn(days=10)
    held = issuing.issue(services, world.csr(), world.claim("alice")).record
    end = responder_of(world).not_after
    for nonce in (None, NONCE):
        answer = ask(world, held, services=services, nonce=nonce)
        assert answer.next_update_utc == end
    assert refresh_ocsp(services).looked_at == 0
    world.clock.turn(days=10)
    assert refresh_ocsp(services).looked_at == 0  # the same responder could say nothing longer
    founding.renew_responder(services, actor="system")
    assert [refresh_ocsp(services).signed for _ in range(2)] == [1, 0]
    with world.work.read() as stores:
        signer = ocsp_responses.load_signer(services, stores)
    assert signer.sign(held, responder_of(world).not_after) == ()
    assert signer.sign(replace(held, authority_id="aut_other"), NOON) == ()


def test_answers_hold_over_many_renewals(world):
    """With the jobs alone, every half day of half a year has an answer by a valid, certified signer."""
    held = world.issue("sensor-1")
    signers = set()
    for _ in range(180 * 2):
        world.clock.turn(hours=12)
        now = world.clock.now()
        if founding.due_responders(world.services):
            founding.renew_responder(world.services, actor="system")
        while refresh_ocsp(world.services).more:
            pass
        answer = ask(world, held)
        assert (answer.response_status, answer.certificate_status) == (DONE, GOOD)
        (delegate,) = answer.certificates
        assert now + timedelta(hours=6) < answer.next_update_utc <= delegate.not_valid_after_utc
        signers.add(delegate.serial_number)
    assert len(signers) == 1 + 180 // 20  # renewed when two thirds of thirty days are over
    assert len([name for name in world.keys.names() if name.startswith("ocsp-")]) == 2


def test_faults_of_published_crls(world):
    """A missing or expired CRL is a fault; before the founding there is no fault."""
    assert published_objects.find_faults(world.services, NOON) == ("crl-missing",)
    crls.publish_crls(world.services)
    assert published_objects.find_faults(world.services, NOON) == ()
    assert published_objects.find_faults(world.services, NOON + timedelta(hours=24)) == ("crl-stale",)
    late = NOON + timedelta(days=31)
    assert published_objects.find_faults(world.services, late) == ("crl-stale", "responder-expired")
    with pytest.raises(NotFound):
        published_objects.find_faults(empty_world().services, NOON)


def test_refresh_sees_a_concurrent_revocation(world):
    """A certificate that is revoked during the refresh gets the answer revoked."""
    held = world.issue("alice")
    world.clock.turn(hours=6)
    superseded = (held.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    before_change(world, 1, lambda: revocation.revoke(world.services, *superseded))
    refresh_ocsp(world.services)
    assert ask(world, held).certificate_status is REVOKED


def test_list_and_certificates_are_handed_out(world):
    """The newest CRL is returned by authority, authority certificates by id."""
    assert published_objects.current_crl(world.services) is None
    crl = crls.publish_crls(world.services)[""]
    assert published_objects.current_crl(world.services, crl.authority_id) == crl
    assert published_objects.current_crl(world.services, "aut_other") is None
    assert x509.load_der_x509_certificate(
        published_objects.authority_certificate(world.services, crl.authority_id)
    ) == issuer_of(world)
    with refused(NotFound, "authority-unknown"):
        published_objects.authority_certificate(world.services, "aut_other")
    with pytest.raises(NotFound):
        published_objects.current_crl(empty_world().services)
