"""OCSP: requests parse totally; answers are read back equal."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.certificate import RevocationReason
from doorward.core.errors import MalformedInput
from doorward.pki.ocsp import (
    CertStatus,
    OcspStatus,
    UpdateWindow,
    build_responder,
    parse_ocsp_request,
    presign_responses,
    sign_response,
)
from tests.support.certificates.issuing import toy_ca
from tests.support.examples import examples
from tests.support.ports import NOON

CA = toy_ca("Property Root")
LEAF = CA.leaf()
RESPONDER = build_responder(CA.certificate, CA.key)
WINDOW = UpdateWindow(produced_at=NOON, this_update=NOON, next_update=NOON + timedelta(hours=1))
REQUEST = (
    ocsp.OCSPRequestBuilder()
    .add_certificate(LEAF.certificate, CA.certificate, hashes.SHA256())
    .add_extension(x509.OCSPNonce(bytes(32)), critical=False)
    .build()
    .public_bytes(serialization.Encoding.DER)
)
STATUSES = st.one_of(
    st.sampled_from([OcspStatus(cert_status=CertStatus.GOOD), OcspStatus(cert_status=CertStatus.UNKNOWN)]),
    st.builds(
        OcspStatus,
        cert_status=st.just(CertStatus.REVOKED),
        revoked_at=st.integers(0, 10**8).map(lambda seconds: NOON - timedelta(seconds=seconds)),
        reason=st.sampled_from(RevocationReason),
    ),
)


def check(data: bytes) -> None:
    """A question, or our error."""
    try:
        question = parse_ocsp_request(data)
    except MalformedInput:
        return
    assert 0 <= question.serial < 1 << 160
    assert question.nonce is None or 1 <= len(question.nonce) <= 128


@given(st.binary(max_size=300))
def test_any_bytes(data):
    """Noise is malformed."""
    check(data)


@settings(max_examples=examples(300))
@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255), st.booleans())
def test_damaged_requests(place, octet, insert):
    """A damaged octet or an inserted one never crashes the reader."""
    check(REQUEST[:place] + bytes((octet,)) + REQUEST[place if insert else place + 1 :])


@given(STATUSES, st.integers(0, (1 << 159) - 1))
def test_answers_come_back_equal(status, serial):
    """Word, time, reason and serial survive the way through DER, for both hashes."""
    ready = presign_responses(serial, status, responder=RESPONDER, window=WINDOW)
    for der in (ready.sha1, ready.sha256):
        response = ocsp.load_der_ocsp_response(der)
        assert response.serial_number == serial
        assert response.certificate_status.name == status.cert_status.name
        assert response.revocation_time_utc == status.revoked_at
        said = response.revocation_reason
        silent = status.reason in {None, RevocationReason.UNSPECIFIED}
        assert (said and said.name.replace("_", "-")) == (None if silent else status.reason.value)


@given(st.binary(min_size=1, max_size=128))
def test_every_nonce_is_echoed(nonce):
    """The response has the same nonce octets as the request."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(LEAF.certificate, CA.certificate, hashes.SHA256())
    request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    question = parse_ocsp_request(request.public_bytes(serialization.Encoding.DER))
    status = OcspStatus(cert_status=CertStatus.GOOD)
    response = ocsp.load_der_ocsp_response(
        sign_response(question, status, responder=RESPONDER, window=WINDOW)
    )
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
