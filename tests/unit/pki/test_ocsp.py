"""OCSP: requests and answers, read and written against the library."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, MalformedInput, RequestRefused
from doorward.core.ports import KeyKind
from doorward.pki.der import encode_explicit, encode_integer, encode_octets, encode_oid, encode_sequence
from doorward.pki.ocsp import (
    REQUEST_LIMIT,
    CertStatus,
    OcspFailure,
    OcspStatus,
    UpdateWindow,
    build_responder,
    describe_status,
    parse_ocsp_request,
    presign_responses,
    render_failure,
    sign_response,
)
from tests.support import refusals
from tests.support.certificates.issuing import CertifiedKey, cached_key, toy_ca
from tests.support.ports import NOON
from tests.support.refusals import refused

CA = toy_ca("Ocsp Root").issuing("Ocsp Issuing")
LEAF = CA.leaf("alice")
DELEGATE = CA.leaf("ocsp", uris=(), purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,))
WINDOW = UpdateWindow(produced_at=NOON, this_update=NOON, next_update=NOON + timedelta(hours=1))
GOOD = OcspStatus(cert_status=CertStatus.GOOD)
UNKNOWN = OcspStatus(cert_status=CertStatus.UNKNOWN)
RESPONDER = build_responder(CA.certificate, DELEGATE.key, DELEGATE.certificate)
SHA1 = hashes.SHA1()  # what clients send

code_of = partial(refusals.code_of, parse_ocsp_request, kind=MalformedInput)


def revoked(reason: RevocationReason = RevocationReason.KEY_COMPROMISE) -> OcspStatus:
    """Revoked a day ago."""
    return OcspStatus(cert_status=CertStatus.REVOKED, revoked_at=NOON - timedelta(days=1), reason=reason)


def ask(digest=SHA1, *, nonce: bytes | None = None, critical: bool = False, ca: CertifiedKey = CA) -> bytes:
    """A request for alice's certificate in DER."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(LEAF.certificate, ca.certificate, digest)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=critical)
    return builder.build().public_bytes(serialization.Encoding.DER)


def answer(status: OcspStatus, request: bytes, responder=RESPONDER) -> ocsp.OCSPResponse:
    """The answer to a request, read by the library."""
    signed = sign_response(parse_ocsp_request(request), status, responder=responder, window=WINDOW)
    return ocsp.load_der_ocsp_response(signed)


@pytest.mark.parametrize("digest", [SHA1, hashes.SHA256()])
def test_an_answer_speaks_of_the_certificate_that_was_asked_for(digest):
    """Either way of naming the issuer is understood and echoed."""
    response = answer(GOOD, ask(digest))
    assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert response.serial_number == LEAF.certificate.serial_number
    assert response.hash_algorithm.name == digest.name
    assert (response.produced_at_utc, response.this_update_utc) == (NOON, NOON)
    assert response.next_update_utc == NOON + timedelta(hours=1)


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_revoked_certificate_has_its_time_and_reason(reason):
    """Unspecified is said by leaving the reason out."""
    response = answer(revoked(reason), ask())
    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.revocation_time_utc == NOON - timedelta(days=1)
    said = response.revocation_reason
    expected = None if reason is RevocationReason.UNSPECIFIED else reason.value
    assert (said and said.name.replace("_", "-")) == expected


def test_a_serial_that_we_never_issued_is_unknown():
    """Unknown is an answer of its own, never good."""
    assert answer(UNKNOWN, ask()).certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_states_of_the_inventory_in_ocsp():
    """Valid is good; on hold is revoked; intended and absent are unknown."""
    at, reason = NOON, RevocationReason.CERTIFICATE_HOLD
    assert describe_status(CertificateState.VALID, None, None) == GOOD
    for state in (CertificateState.REVOKED, CertificateState.ON_HOLD):
        held = describe_status(state, at, reason)
        assert (held.cert_status, held.revoked_at, held.reason) == (CertStatus.REVOKED, at, reason)
    for state in (CertificateState.INTENDED, None):
        assert describe_status(state, None, None) == UNKNOWN


@pytest.mark.parametrize(
    ("cert_status", "at", "reason"),
    [
        (CertStatus.GOOD, NOON, RevocationReason.SUPERSEDED),
        (CertStatus.UNKNOWN, NOON, None),
        (CertStatus.REVOKED, None, None),
        (CertStatus.REVOKED, NOON, None),
    ],
)
def test_impossible_statuses_cannot_be_made(cert_status, at, reason):
    """Time and reason belong to revoked, and to nothing else."""
    with pytest.raises(ValueError, match="revoked"):
        OcspStatus(cert_status=cert_status, revoked_at=at, reason=reason)


def test_an_answer_is_produced_within_its_window():
    """An answer from the past or the future cannot be made."""
    for produced in (NOON - timedelta(seconds=1), NOON + timedelta(hours=1)):
        with pytest.raises(ValueError, match="produced"):
            UpdateWindow(produced_at=produced, this_update=NOON, next_update=NOON + timedelta(hours=1))


@pytest.mark.parametrize("length", [1, 16, 32, 128])
def test_the_nonce_comes_back(length):
    """RFC 9654: lengths from 1 to 128 octets are echoed."""
    nonce = bytes(range(length))
    response = answer(GOOD, ask(nonce=nonce, critical=length == 16))
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce


def test_no_nonce_is_made_up():
    """Without one in the request there is none in the answer."""
    assert len(answer(GOOD, ask()).extensions) == 0


@pytest.mark.parametrize("length", [0, 129])
def test_nonces_of_other_lengths_are_refused(length):
    """RFC 9654 section 2.1: echoing nonces of any length would let a client choose what is signed."""
    assert code_of(ask(nonce=bytes(length))) == "ocsp-nonce-refused"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ocsp-request-malformed"),
        (b"\x30\x00", "ocsp-request-malformed"),
        (b"GET /", "ocsp-request-malformed"),
        (bytes(REQUEST_LIMIT + 1), "ocsp-request-too-large"),
    ],
)
def test_what_is_no_request_is_malformed(data, code):
    """Any other bytes are refused with a code."""
    assert code_of(data) == code


def raw_request(*serials: int, extension: bytes = b"") -> bytes:
    """A request by hand: one certificate id per serial."""
    digest = encode_sequence(encode_oid("1.3.14.3.2.26"), b"\x05\x00")
    singles = [
        encode_sequence(
            encode_sequence(
                digest, encode_octets(bytes(20)), encode_octets(bytes(20)), encode_integer(serial)
            )
        )
        for serial in serials
    ]
    tail = encode_explicit(2, encode_sequence(extension)) if extension else b""
    return encode_sequence(encode_sequence(encode_sequence(*singles), tail))


def test_one_certificate_per_request():
    """None and two are malformed (RFC 5019 section 2.1.1); so is a serial of more than 20 octets."""
    assert parse_ocsp_request(raw_request(5)).serial == 5
    assert code_of(raw_request()) == "ocsp-request-malformed"
    assert code_of(raw_request(5, 6)) == "ocsp-request-malformed"
    assert code_of(raw_request(1 << 160)) == "ocsp-request-malformed"


def test_an_unknown_critical_extension_is_refused():
    """An unknown critical extension makes the request malformed; one that is not critical is ignored."""
    oid, critical = encode_oid("1.2.3.4"), b"\x01\x01\xff"
    strict = encode_sequence(oid, critical, encode_octets(b"\x05\x00"))
    lax = encode_sequence(oid, encode_octets(b"\x05\x00"))
    assert code_of(raw_request(5, extension=strict)) == "ocsp-extension-refused"
    assert parse_ocsp_request(raw_request(5, extension=lax)).nonce is None


def test_another_issuers_certificates_are_not_answered_for():
    """Another issuer, or a hash that we do not use, is answered unauthorized, with any status."""
    other = toy_ca("Ocsp Issuing")
    for request in (ask(ca=other), ask(hashes.SHA512())):
        with refused(RequestRefused, "ocsp-unauthorized"):
            answer(GOOD, request)


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048])
def test_the_issuer_may_answer_itself(kind):
    """Without a delegate no certificate travels along, and the CA's key verifies."""
    ca = toy_ca(key_kind=kind)
    leaf = ca.leaf("alice").certificate
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, ca.certificate, SHA1).build()
    response = answer(
        GOOD, request.public_bytes(serialization.Encoding.DER), build_responder(ca.certificate, ca.key)
    )
    assert response.certificates == []
    assert_signed_by(response, ca.key.public_key())
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert response.responder_key_hash == identifier.digest


def assert_signed_by(response: ocsp.OCSPResponse, public) -> None:
    """The signature over the answer is by that key."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(
            response.signature, response.tbs_response_bytes, ec.ECDSA(response.signature_hash_algorithm)
        )
    elif hasattr(public, "key_size"):
        public.verify(
            response.signature,
            response.tbs_response_bytes,
            padding.PKCS1v15(),
            response.signature_hash_algorithm,
        )
    else:
        public.verify(response.signature, response.tbs_response_bytes)


def test_a_delegate_sends_its_certificate():
    """So that clients can check who signed."""
    response = answer(GOOD, ask())
    assert response.certificates == [DELEGATE.certificate]
    assert_signed_by(response, DELEGATE.key.public_key())


@pytest.mark.parametrize(
    "delegate",
    [
        toy_ca("Ocsp Issuing").leaf(purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,)),
        toy_ca("Other").leaf(purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,)),
        CA.leaf("alice"),
        CA.leaf("alice", purposes=()),
        CA.leaf("alice", purposes=(ObjectIdentifier("2.5.29.37.0"),)),
    ],
)
def test_only_this_cas_ocsp_signer_is_a_delegate(delegate):
    """Another CA's (under the same name, too), or one for another purpose, would be refused by clients."""
    with refused(RequestRefused, "ocsp-delegate-refused"):
        build_responder(CA.certificate, delegate.key, delegate.certificate)


def test_the_key_is_the_signers():
    """A responder with another key is not made."""
    with refused(IntegrityError, "responder-key-mismatch"):
        build_responder(CA.certificate, cached_key(number=5), DELEGATE.certificate)


def test_answers_are_signed_ahead_for_both_ways_of_asking():
    """One for SHA-1 and one for SHA-256, both without nonce."""
    ready = presign_responses(LEAF.certificate.serial_number, revoked(), responder=RESPONDER, window=WINDOW)
    for der, name in ((ready.sha1, "sha1"), (ready.sha256, "sha256")):
        response = ocsp.load_der_ocsp_response(der)
        assert response.hash_algorithm.name == name
        assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert len(response.extensions) == 0


@pytest.mark.parametrize("failure", list(OcspFailure))
def test_failures_have_their_numbers(failure):
    """malformedRequest, internalError, tryLater and unauthorized, as the library knows them."""
    response = ocsp.load_der_ocsp_response(render_failure(failure))
    assert response.response_status.name == failure.name
