"""Parses one OCSPResponse: total; nothing in it is verified yet.

Only the fields that are judged are parsed; the rest is skipped. Of a single response about another certificate only its CertID is
read. Unknown extensions that are not critical, and the time and reason of a revocation, may have any content.
An unknown critical extension is kept as a dotted identifier, because the response must then be rejected (RFC 6960
section 4.4). These are known, with any value: the nonce (checked in ocsp), and extensions that do not change the
present status: archive cutoff, CRL references, extended revoke (4.4.8), and the reason and invalidity date of
an entry (4.4.5).

Not here: whether the response is accepted (ocsp).
Standard: RFC 6960 sections 4.2.1, 4.2.2 and 4.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from doorward.verification.path.names import CanonicalName
from doorward.verification.path.signatures import SignedContent
from doorward.verification.revocation.crl import read_reason
from doorward.verification.revocation.der import (
    ENUMERATED,
    INTEGER,
    OBJECT,
    OCTET_STRING,
    SEQUENCE,
    Element,
    Extension,
    MalformedDer,
    read_extensions,
    read_whole,
    render_dotted,
)
from doorward.verification.revocation.signed import parse_canonical_name, read_outline, read_signed
from doorward.verification.revocation.status import RevocationStatus

SUCCESSFUL = 0
FAILURES = {
    1: "malformed request",
    2: "internal error",
    3: "try later",
    5: "sig required",
    6: "unauthorized",
}
"""OCSPResponseStatus (4.2.1)."""

_BASIC = bytes.fromhex("2b0601050507300101")
_NONCE = bytes.fromhex("2b0601050507300102")
_CRL_REFERENCES = bytes.fromhex("2b0601050507300103")
_ARCHIVE_CUTOFF = bytes.fromhex("2b0601050507300106")
_EXTENDED_REVOKE = bytes.fromhex("2b0601050507300109")
_REASON, _INVALIDITY_DATE = bytes.fromhex("551d15"), bytes.fromhex("551d18")
_KNOWN_OF_ANSWER = frozenset({_NONCE, _EXTENDED_REVOKE})
_KNOWN_OF_SINGLE = frozenset({_CRL_REFERENCES, _ARCHIVE_CUTOFF, _REASON, _INVALIDITY_DATE})

_GENERALIZED_TIME = 0x18
_EXPLICIT_0, _EXPLICIT_1, _EXPLICIT_2 = 0xA0, 0xA1, 0xA2
_GOOD, _REVOKED, _UNKNOWN = 0x80, 0xA1, 0x82
_TIME = re.compile(rb"([0-9]{14})(?:\.[0-9]+)?Z")
_STATES = {
    _GOOD: RevocationStatus.GOOD,
    _REVOKED: RevocationStatus.REVOKED,
    _UNKNOWN: RevocationStatus.UNDETERMINED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateId:
    """CertID (4.1.1): which certificate a single response is about; `digest` is the content of an object identifier."""

    digest: bytes
    name_hash: bytes
    key_hash: bytes
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleResponse:
    """The status of one certificate; `unknown` is an unknown critical extension, dotted, or empty."""

    status: RevocationStatus
    reason: x509.ReasonFlags | None
    this_update: datetime
    next_update: datetime | None
    unknown: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BasicResponse:
    """A successful response of the basic type.

    Args:
        signed: the signed bytes, and the signature.
        responder_name: the name in DER and in canonical form, None as the second part if it does not parse; None if the
            responder is named by its key.
        responder_key: SHA-1 of its key; empty if it is named by its name.
        singles: CertIDs with their single responses, which are not parsed yet.
        unknown: an unknown critical extension of the response, dotted, or empty.
        nonces: values of the nonces in the response.
        certificates: in the response, in DER.
    """

    signed: SignedContent
    responder_name: tuple[bytes, CanonicalName | None] | None
    responder_key: bytes
    singles: tuple[tuple[CertificateId, Element], ...]
    unknown: str
    nonces: tuple[bytes, ...]
    certificates: tuple[bytes, ...]


class ErrorResponse(Exception):
    """The responder reported a failure; `str()` says which."""


def parse_basic_response(der: bytes) -> BasicResponse:
    """Return the content of an OCSPResponse.

    Args:
        der: one OCSPResponse, nothing after it.

    Raises:
        ErrorResponse: it reports a failure.
        Exception: of any other type, if it is malformed or not a basic response.

    Standard: RFC 6960 section 4.2.1.
    """
    status, *rest = read_whole(der).require(SEQUENCE).children()
    code = status.require(ENUMERATED).read_integer()
    if code != SUCCESSFUL:
        raise ErrorResponse(FAILURES.get(code, "an unknown failure"))
    (wrapped,) = rest
    kind, octets = wrapped.require(_EXPLICIT_0).only_child().require(SEQUENCE).children()
    if kind.require(OBJECT).value != _BASIC:
        raise MalformedDer("not a basic response")
    basic = read_whole(octets.require(OCTET_STRING).value).require(SEQUENCE)
    content, algorithm, signature, *more = basic.children()
    certificates: tuple[bytes, ...] = ()
    if more:
        (included,) = more
        listed = included.require(_EXPLICIT_0).only_child().require(SEQUENCE)
        certificates = tuple(one.whole for one in listed.children())
    return _read(
        content, read_signed(content, read_outline(algorithm=algorithm.whole), signature), certificates
    )


def _read(content: Element, signed: SignedContent, certificates: tuple[bytes, ...]) -> BasicResponse:
    parts = list(content.require(SEQUENCE).children())
    # Version 1 is the default, so DER omits it; some responders write it.
    version = parts.pop(0).only_child().require(INTEGER).read_integer() if parts[0].tag == _EXPLICIT_0 else 0
    if version:
        raise MalformedDer("a version other than 1")
    responder, produced, responses, *more = parts
    produced.require(_GENERALIZED_TIME)
    extensions: tuple[Extension, ...] = ()
    if more:
        (stated,) = more
        extensions = read_extensions(stated.require(_EXPLICIT_1).only_child())
    key, name = b"", None
    if responder.tag == _EXPLICIT_1:
        name = _read_responder(responder.only_child().require(SEQUENCE).whole)
    else:
        key = responder.require(_EXPLICIT_2).only_child().require(OCTET_STRING).value
    return BasicResponse(
        signed=signed,
        responder_name=name,
        responder_key=key,
        singles=tuple(_find_singles(responses.require(SEQUENCE))),
        unknown=_find_unknown(extensions, _KNOWN_OF_ANSWER),
        nonces=tuple(_read_nonce(one.value) for one in extensions if one.oid == _NONCE),
        certificates=certificates,
    )


def _read_responder(der: bytes) -> tuple[bytes, CanonicalName | None]:
    try:
        return der, parse_canonical_name(der)
    except Exception:  # noqa: BLE001  from the library; such a name is compared byte for byte
        return der, None


def _find_singles(responses: Element) -> Iterator[tuple[CertificateId, Element]]:
    """Yield the single responses with a readable CertID; others cannot be about a certificate that is looked for."""
    for single in responses.children():
        try:
            parts = single.require(SEQUENCE).children()
            digest, name_hash, key_hash, serial = next(parts).require(SEQUENCE).children()
            yield (
                CertificateId(
                    digest=next(digest.require(SEQUENCE).children()).require(OBJECT).value,
                    name_hash=name_hash.require(OCTET_STRING).value,
                    key_hash=key_hash.require(OCTET_STRING).value,
                    serial=serial.require(INTEGER).read_integer(),
                ),
                single,
            )
        except (ValueError, StopIteration):
            continue


def read_single_response(single: Element) -> SingleResponse:
    """Return the content of a single response.

    Raises:
        Exception: of any type, if it is malformed.
    """
    _, status, begins, *more = single.children()
    next_update = None
    extensions: tuple[Extension, ...] = ()
    if more and more[0].tag == _EXPLICIT_0:
        next_update = _read_time(more.pop(0).only_child())
    if more and more[0].tag == _EXPLICIT_1:
        extensions = read_extensions(more.pop(0).only_child())
    if more or status.tag not in _STATES:
        raise MalformedDer("unknown fields, or an unknown certificate status")
    return SingleResponse(
        status=_STATES[status.tag],
        reason=_read_revocation_reason(status),
        this_update=_read_time(begins),
        next_update=next_update,
        unknown=_find_unknown(extensions, _KNOWN_OF_SINGLE),
    )


def _read_revocation_reason(status: Element) -> x509.ReasonFlags | None:
    """Return the reason in RevokedInfo; a malformed one leaves the certificate revoked, as unspecified."""
    if status.tag != _REVOKED:
        return None
    try:
        _, *reason = status.children()
        return read_reason(reason[0].value) if reason else None
    except ValueError:
        return x509.ReasonFlags.unspecified


def _read_time(element: Element) -> datetime:
    found = _TIME.fullmatch(element.require(_GENERALIZED_TIME).value)
    if found is None:
        raise MalformedDer("no time")
    return datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _read_nonce(value: bytes) -> bytes:
    """Return a nonce: an OCTET STRING (RFC 9654), or the bytes themselves, as older responders write it."""
    try:
        return read_whole(value).require(OCTET_STRING).value
    except MalformedDer:
        return value


def _find_unknown(extensions: tuple[Extension, ...], known: frozenset[bytes]) -> str:
    return next((render_dotted(one.oid) for one in extensions if one.critical and one.oid not in known), "")
