"""OCSP: parsing requests, signing responses, failures.

Not here: the status itself (the caller passes it), HTTP, caching. The DER encoder of responses is our own, because
the library sets `producedAt` by a clock of its own; the library parses requests.
Standard: RFC 6960 sections 4.1 and 4.2, RFC 5019 section 2 (one certificate per request; a request about another
issuer is answered `unauthorized`), RFC 9654 section 2.1 (nonce lengths).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, MalformedInput, RequestRefused
from doorward.core.ports import PrivateKey
from doorward.pki.der import (
    NULL,
    encode,
    encode_enumerated,
    encode_explicit,
    encode_generalized_time,
    encode_integer,
    encode_octets,
    encode_oid,
    encode_sequence,
)
from doorward.pki.keys import check_public_key, encode_key_bits, encode_public_key
from doorward.pki.signing import bind_key, encode_algorithm, sign_without_verifying

REQUEST_LIMIT = 8 * 1024
"""Bytes. An unsigned request has about 100; a signed one with its chain some thousand."""

_NONCE_LENGTHS = range(1, 128 + 1)  # RFC 9654: 0 and more than 128 octets MUST be refused
_SERIAL_BITS = 160  # twenty octets; no certificate has a longer serial number
_BASIC = encode_oid("1.3.6.1.5.5.7.48.1.1")
_NONCE = encode_oid("1.3.6.1.5.5.7.48.1.2")
_SUCCESSFUL = encode_enumerated(0)
_SHA1 = "sha1"
_SHA256 = "sha256"
_HASH_ALGORITHMS = {
    _SHA1: encode_sequence(
        encode_oid("1.3.14.3.2.26"), NULL
    ),  # what clients send; security does not depend on it
    _SHA256: encode_sequence(encode_oid("2.16.840.1.101.3.4.2.1"), NULL),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRequest:
    """One certificate, by the hashes of its issuer and its serial number, and a nonce."""

    hash_name: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    nonce: bytes | None


class OcspFailure(Enum):
    """RFC 6960 section 4.2.1: responses without a signature; the value is OCSPResponseStatus."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


class CertStatus(Enum):
    """RFC 6960 section 2.2: the status of a certificate in a response."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspStatus:
    """The status of one certificate; only a revoked one has a time and a reason."""

    cert_status: CertStatus
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None

    def __post_init__(self) -> None:
        complete = self.revoked_at is not None and self.reason is not None
        empty = self.revoked_at is None and self.reason is None
        if not (complete if self.cert_status is CertStatus.REVOKED else empty):
            raise ValueError("a revoked certificate needs a time and a reason, any other must have none")


def describe_status(
    state: CertificateState | None, revoked_at: datetime | None, reason: RevocationReason | None
) -> OcspStatus:
    """Return the OCSP status of a certificate of ours in that state; None is a certificate that we do not know.

    A hold is revoked with certificate-hold. A certificate that was intended and never issued is unknown, so that
    it is never taken for good.
    """
    match state:
        case CertificateState.VALID:
            return OcspStatus(cert_status=CertStatus.GOOD)
        case CertificateState.REVOKED | CertificateState.ON_HOLD:
            return OcspStatus(cert_status=CertStatus.REVOKED, revoked_at=revoked_at, reason=reason)
        case _:
            return OcspStatus(cert_status=CertStatus.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWindow:
    """The times of a response, UTC: producedAt, thisUpdate, nextUpdate."""

    produced_at: datetime
    this_update: datetime
    next_update: datetime

    def __post_init__(self) -> None:
        if not self.this_update <= self.produced_at < self.next_update:
            raise ValueError("a response must be produced between its this update and its next update")


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspResponder:
    """The responder of one issuing CA; made by `build_responder`.

    `ids` are the (hash name, issuer name hash, issuer key hash) that clients may ask with. `sign` signs with its key,
    which `build_responder` compared with its certificate, and `algorithm` is the AlgorithmIdentifier of the signature, DER.
    """

    ids: frozenset[tuple[str, bytes, bytes]]
    responder_id: bytes
    certificates: bytes
    sign: Callable[[bytes], bytes]
    algorithm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedResponses:
    """Responses about one certificate without nonce, one for each hash algorithm of a CertID."""

    sha1: bytes
    sha256: bytes


def build_responder(
    issuer: x509.Certificate, key: PrivateKey, delegate: x509.Certificate | None = None
) -> OcspResponder:
    """Return the responder for an issuing CA.

    Args:
        issuer: the CA that issued the certificates in question.
        key: signs the responses: the delegate's key, or the issuer's own if there is no delegate.
        delegate: a certificate by that CA with the purpose OCSPSigning.

    Raises:
        RequestRefused: `ocsp-delegate-refused`: not issued by this CA, or not for OCSP.
        IntegrityError: `responder-key-mismatch`: the signing certificate has another key.

    Standard: RFC 6960 section 4.2.2.2.
    """
    signer = issuer
    certificates = b""
    if delegate is not None:
        _check_delegate(delegate, issuer)
        signer = delegate
        der = delegate.public_bytes(serialization.Encoding.DER)
        certificates = encode_explicit(0, encode_sequence(der))
    public, _ = check_public_key(signer.public_key())
    if encode_public_key(public) != encode_public_key(key.public_key()):
        raise IntegrityError("responder-key-mismatch", "the key is not that of the OCSP signer's certificate")
    name = issuer.subject.public_bytes()
    bits = encode_key_bits(check_public_key(issuer.public_key())[0])
    return OcspResponder(
        ids=frozenset((word, _digest(word, name), _digest(word, bits)) for word in _HASH_ALGORITHMS),
        responder_id=encode_explicit(2, encode_octets(_digest(_SHA1, encode_key_bits(public)))),
        certificates=certificates,
        sign=bind_key(key),
        algorithm=encode_algorithm(public),
    )


def parse_ocsp_request(data: bytes) -> OcspRequest:
    """Return the content of a request.

    Args:
        data: one OCSPRequest for one certificate in DER, at most 8 KiB. A signature of the request is ignored,
            because everyone may ask.

    Raises:
        MalformedInput: `ocsp-request-too-large`, `ocsp-request-malformed`, `ocsp-nonce-refused`,
            `ocsp-extension-refused` (a critical extension that we do not know).

    Standard: RFC 6960 section 4.1.1, RFC 9654 section 2.1.
    """
    if len(data) > REQUEST_LIMIT:
        raise MalformedInput(
            "ocsp-request-too-large", f"a request may have at most {REQUEST_LIMIT} bytes", size=len(data)
        )
    try:
        request = ocsp.load_der_ocsp_request(data)
        hash_name, serial = request.hash_algorithm.name, request.serial_number
        name_hash, key_hash = request.issuer_name_hash, request.issuer_key_hash
        extensions = list(request.extensions)
    except Exception as fault:  # a parser is total, whatever the library raises
        raise MalformedInput(
            "ocsp-request-malformed", "this is not an OCSP request for one certificate"
        ) from fault
    if not 0 <= serial < 1 << _SERIAL_BITS:
        raise MalformedInput("ocsp-request-malformed", "no certificate has this serial number")
    return OcspRequest(
        hash_name=hash_name,
        issuer_name_hash=name_hash,
        issuer_key_hash=key_hash,
        serial=serial,
        nonce=_read_nonce(extensions),
    )


def sign_response(
    question: OcspRequest, status: OcspStatus, *, responder: OcspResponder, window: UpdateWindow
) -> bytes:
    """Return a signed response in DER, with the nonce of the request if it had one.

    Raises:
        RequestRefused: `ocsp-unauthorized`: the responder's CA did not issue the certificate, whatever its
            status. Answer `OcspFailure.UNAUTHORIZED`.

    Standard: RFC 6960 section 4.2.1, RFC 5019 section 2.2.
    """
    asked = (question.hash_name, question.issuer_name_hash, question.issuer_key_hash)
    if asked not in responder.ids:
        raise RequestRefused("ocsp-unauthorized", "this responder does not answer for that issuer")
    extensions = b""
    if question.nonce is not None:
        extension = encode_sequence(_NONCE, encode_octets(encode_octets(question.nonce)))
        extensions = encode_explicit(1, encode_sequence(extension))
    certificate_id = encode_sequence(_encode_issuer(*asked), encode_integer(question.serial))
    return _sign(certificate_id, _encode_status(status), responder, window, extensions)


def presign_responses(
    serial: int, status: OcspStatus, *, responder: OcspResponder, window: UpdateWindow
) -> PresignedResponses:
    """Return the responses about one certificate for clients that send no nonce, in DER."""
    number, state = encode_integer(serial), _encode_status(status)
    signed = {
        issuer[0]: _sign(encode_sequence(_encode_issuer(*issuer), number), state, responder, window)
        for issuer in responder.ids
    }
    return PresignedResponses(sha1=signed[_SHA1], sha256=signed[_SHA256])


def render_failure(failure: OcspFailure) -> bytes:
    """Return an unsigned response in DER that states a failure."""
    return encode_sequence(encode_enumerated(failure.value))


def _check_delegate(delegate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Refuse a delegate that clients would refuse: not issued by this CA, or not for OCSP."""
    try:
        delegate.verify_directly_issued_by(issuer)
        purposes = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        delegated = ExtendedKeyUsageOID.OCSP_SIGNING in purposes
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        delegated = False
    if not delegated:
        detail = "this CA did not issue the certificate, or not for OCSP signing"
        raise RequestRefused("ocsp-delegate-refused", detail)


def _digest(word: str, data: bytes) -> bytes:
    """Return a hash that identifies a name or key (RFC 6960 uses SHA-1; security does not depend on it)."""
    return hashlib.new(word, data, usedforsecurity=False).digest()


def _read_nonce(extensions: list[x509.Extension[x509.ExtensionType]]) -> bytes | None:
    """Return the nonce; refuse lengths that the standard forbids, and unknown critical extensions."""
    nonce: bytes | None = None
    for extension in extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            nonce = extension.value.nonce
            if len(nonce) not in _NONCE_LENGTHS:
                raise MalformedInput(
                    "ocsp-nonce-refused", f"a nonce has 1 to 128 octets, and this one has {len(nonce)}"
                )
        elif extension.critical:
            raise MalformedInput("ocsp-extension-refused", "the request has an unknown critical extension")
    return nonce


def _sign(
    certificate_id: bytes,
    status: bytes,
    responder: OcspResponder,
    window: UpdateWindow,
    extensions: bytes = b"",
) -> bytes:
    """Return OCSPResponse { successful, BasicOCSPResponse }; the arguments in bytes are DER."""
    produced_at, validity = _encode_window(window)
    single = encode_sequence(certificate_id, status, validity)
    body = encode_sequence(responder.responder_id, produced_at, encode_sequence(single), extensions)
    basic = sign_without_verifying(body, responder.sign, responder.algorithm, responder.certificates)
    answer = encode_sequence(_BASIC, encode_octets(basic))
    return encode_sequence(_SUCCESSFUL, encode_explicit(0, answer))


@lru_cache(maxsize=32)  # two for each of our issuing CAs: `responder.ids` was compared before
def _encode_issuer(hash_name: str, name_hash: bytes, key_hash: bytes) -> bytes:
    """Return the first three fields of CertID."""
    return _HASH_ALGORITHMS[hash_name] + encode_octets(name_hash) + encode_octets(key_hash)


@lru_cache(maxsize=4)  # the responses about one certificate are signed one after the other
def _encode_window(window: UpdateWindow) -> tuple[bytes, bytes]:
    """Return producedAt, and thisUpdate with nextUpdate."""
    this_update = encode_generalized_time(window.this_update)
    next_update = encode_explicit(0, encode_generalized_time(window.next_update))
    return encode_generalized_time(window.produced_at), this_update + next_update


def _encode_status(status: OcspStatus) -> bytes:
    """Return CertStatus; the reason `unspecified` is left out, as in a CRL."""
    if status.revoked_at is None or status.reason is None:
        return encode(0x80 if status.cert_status is CertStatus.GOOD else 0x82)
    reason = b""
    if status.reason is not RevocationReason.UNSPECIFIED:
        reason = encode_explicit(0, encode_enumerated(status.reason.code))
    return encode(0xA1, encode_generalized_time(status.revoked_at), reason)
