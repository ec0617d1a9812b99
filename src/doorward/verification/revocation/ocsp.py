"""RFC 6960: what one OCSP response says about one certificate, and whether it is verified.

1. The response is successful, well-formed, at most 64 KiB, and of the basic type.
2. Some of its single responses are about exactly this certificate: its serial number, and the hashes of its issuer's
   name and key (4.1.1), with the name as encoded in either certificate. The same serial number of another issuer
   does not count.
3. Neither the response nor these single responses have an unknown critical extension (4.4).
4. The issuer signed it, or a delegated responder. The responder's certificate is in the response, is signed with the
   same key of the issuer, is within its dates, and has the purpose OCSPSigning (4.2.2.2). The signer is the
   responder that the response names; names are compared by RFC 5280 section 7.1.
5. Times: not in the future, not after the next update; without a next update, not older than the limit (4.2.2.1).
6. If a nonce was sent, the response contains it (RFC 9654).
7. If several single responses are about this certificate, the worst counts: revoked, then unknown, then good.
Otherwise the status is undetermined, and the reason is kept.

The revocation status of a delegated responder is not checked: the authority answers for it by
`id-pkix-ocsp-nocheck`, critical or not, or by a short lifetime (4.2.2.2.1). Its dates are checked.

Not here: the encoding (ocsp_response), sending requests, and which address to ask (runtime).
Standard: RFC 6960 sections 3.2, 4.2 and 4.4; RFC 5019; RFC 9654.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from doorward.core.errors import MalformedInput
from doorward.verification.path.building import WorkBudget, WorkExceeded
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs, check_leaf
from doorward.verification.path.signatures import Strength, is_signature_valid
from doorward.verification.revocation.ocsp_response import (
    BasicResponse,
    ErrorResponse,
    SingleResponse,
    parse_basic_response,
    read_single_response,
)
from doorward.verification.revocation.status import CLOCK_SKEW, RevocationStatus, StatusFinding, usable_until
from doorward.verification.revocation.words import name_reason

RESPONSE_LIMIT = 64 * 1024
"""Bytes. Honest responses have one to five kilobytes, most of it the responder's certificate."""
SIGNER_LIMIT = 8

_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
_NO_CHECK = ExtensionOID.OCSP_NO_CHECK.dotted_string
_DIGESTS = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}
"""Hashes of names and keys, which are not secret and only compared. RFC 5019 requires SHA-1."""
_WORST_FIRST = (RevocationStatus.REVOKED, RevocationStatus.UNDETERMINED, RevocationStatus.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRules:
    """How responses are judged.

    Args:
        strength: which keys and hashes are strong enough.
        unbounded_age: how old a response without a next update may be.
        grace: how long after its next update a response may still be used.
        skew: how far in the future its times may be (clocks differ).
    """

    strength: Strength
    unbounded_age: timedelta = timedelta(days=7)
    grace: timedelta = timedelta(0)
    skew: timedelta = CLOCK_SKEW


class ResponseRejected(Exception):
    """A response that is not accepted for this certificate; `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedResponse:
    """The content of a verified response about a certificate; `reason` is empty unless it is revoked."""

    status: RevocationStatus
    reason: str
    this_update: datetime
    next_update: datetime | None
    fresh_until: datetime


class ResponderFailed(ResponseRejected):
    """The responder reported a failure, which is not signed."""


class ResponseExpired(ResponseRejected):
    """A genuine response that has expired: it no longer proves a good status."""

    def __init__(self, response: VerifiedResponse) -> None:
        super().__init__("it has expired")
        self.response = response


def judge_by_ocsp(
    certificate: PathCertificate,
    issuer: PathCertificate,
    der: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: WorkBudget | None = None,
) -> StatusFinding:
    """Return the status of a certificate by an OCSP response.

    Args:
        certificate: to be judged.
        issuer: of the certificate, good in a path.
        der: an OCSPResponse.
        now: aware, UTC.
        rules: see `OcspRules`.
        nonce: the nonce that was sent; None if none was sent.
        work: the budget of the judgement, which pays for each signature; None for a new one.

    Returns:
        Good, revoked, or undetermined with the reason. Revoked may come from an expired response, with `fresh_until` in
        the past: it counts if nothing newer is known.

    Raises:
        WorkExceeded: the budget is used up.

    Standard: RFC 6960 section 3.2.
    """
    try:
        found = verify_response(certificate, issuer, der, now, rules, nonce=nonce, work=work)
    except ResponseRejected as rejected:
        if isinstance(rejected, ResponseExpired) and rejected.response.status is RevocationStatus.REVOKED:
            return _build_finding(rejected.response, certificate, der)
        return StatusFinding(
            status=RevocationStatus.UNDETERMINED,
            certificate=certificate.sha256,
            why=(f"OCSP response: {rejected}",),
            unusable=not isinstance(rejected, ResponseExpired | ResponderFailed),
        )
    if found.status is RevocationStatus.UNDETERMINED:
        why = ("OCSP response: the responder does not know the certificate",)
        return StatusFinding(status=found.status, certificate=certificate.sha256, why=why, unusable=True)
    return _build_finding(found, certificate, der)


def _build_finding(response: VerifiedResponse, certificate: PathCertificate, der: bytes) -> StatusFinding:
    return StatusFinding(
        status=response.status,
        certificate=certificate.sha256,
        evidence=(hashlib.sha256(der).hexdigest(),),
        reason=response.reason,
        this_update=response.this_update,
        fresh_until=response.fresh_until,
    )


def verify_response(
    certificate: PathCertificate,
    issuer: PathCertificate,
    der: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: WorkBudget | None = None,
) -> VerifiedResponse:
    """Return the content of a response after verifying it. It may say that the responder does not know the certificate.

    The arguments are those of `judge_by_ocsp`.

    Raises:
        ResponseRejected: it is not accepted: steps 1 to 6.
        WorkExceeded: the budget is used up.
    """
    try:
        return _read(certificate, issuer, der, now, rules, nonce=nonce, work=work or WorkBudget())
    except (ResponseRejected, WorkExceeded):
        raise
    except Exception as fault:  # parts are parsed late and may raise any exception
        raise ResponseRejected("it does not parse") from fault


def _read(
    certificate: PathCertificate,
    issuer: PathCertificate,
    der: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None,
    work: WorkBudget,
) -> VerifiedResponse:
    response = _parse(der)
    singles = _find_singles(response, certificate, issuer)
    _check_critical(response, singles)
    _check_signature(response, issuer, now, rules, work)
    found = [_read_verified(one, now, rules) for one in singles]
    _check_nonce(response, nonce)
    worst = min(found, key=lambda one: (_WORST_FIRST.index(one.status), now > one.fresh_until))
    if now > worst.fresh_until:
        raise ResponseExpired(worst)
    return worst


def _parse(der: bytes) -> BasicResponse:
    """Step 1."""
    if len(der) > RESPONSE_LIMIT:
        raise ResponseRejected("it is too large")
    try:
        return parse_basic_response(der)
    except ErrorResponse as failure:
        raise ResponderFailed(f"the responder reports: {failure}") from None


def _find_singles(
    response: BasicResponse, certificate: PathCertificate, issuer: PathCertificate
) -> list[SingleResponse]:
    """Step 2: the issuer's name may be encoded differently in its own certificate and in this one."""
    names = {
        issuer.subject_der,
        certificate.issuer_der,
    }

    def is_of(digest: bytes, name_hash: bytes, key_hash: bytes) -> bool:
        hashed = _DIGESTS.get(digest)
        if hashed is None or key_hash != hashed(issuer.key_bits).digest():
            return False
        return name_hash in {hashed(name).digest() for name in names}

    found = [
        single
        for one, single in response.singles
        if one.serial == certificate.serial and is_of(one.digest, one.name_hash, one.key_hash)
    ]
    if not found:
        raise ResponseRejected("it is not about this certificate")
    return [read_single_response(one) for one in found]


def _check_critical(response: BasicResponse, singles: list[SingleResponse]) -> None:
    """Step 3."""
    unknown = response.unknown or next((one.unknown for one in singles if one.unknown), "")
    if unknown:
        raise ResponseRejected(f"it has an unknown critical extension: {unknown}")


def _check_signature(
    response: BasicResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: WorkBudget
) -> None:
    """Step 4."""
    for signer in _signers(response, issuer, now, rules, work):
        if _is_named(response, signer):
            work.spend_signature(signer.key)
            if is_signature_valid(signer.key, response.signed, rules.strength):
                return
            raise ResponseRejected("its signature does not verify")
    raise ResponseRejected("it does not name a signer that may sign it")


def _signers(
    response: BasicResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: WorkBudget
) -> Iterator[PathCertificate]:
    yield issuer
    inputs = PathInputs(purpose=_OCSP_SIGNING, enforce_profile=False, strength=rules.strength)
    for der in response.certificates[:SIGNER_LIMIT]:
        try:
            delegate = parse_path_certificate(der)
        except MalformedInput:
            continue
        understood = replace(delegate, critical=delegate.critical - {_NO_CHECK})
        if delegate.issuer != issuer.subject or check_leaf(understood, inputs, now):
            continue
        work.spend_signature(issuer.key)
        if is_signature_valid(issuer.key, delegate.signed, rules.strength):
            yield delegate


def _is_named(response: BasicResponse, signer: PathCertificate) -> bool:
    """Return whether the response's ResponderID names this signer (4.2.1); names compare by RFC 5280 section 7.1."""
    if response.responder_name is not None:
        written, name = response.responder_name
        return name == signer.subject if name is not None else signer.subject_der == written
    return response.responder_key == hashlib.sha1(signer.key_bits).digest()  # noqa: S324  as 4.2.1 asks


def _read_verified(single: SingleResponse, now: datetime, rules: OcspRules) -> VerifiedResponse:
    """Step 5: return the content, with the time at which it expires."""
    begins, ends = single.this_update, single.next_update
    if begins > now + rules.skew:
        raise ResponseRejected("it is from the future")
    fresh = usable_until(begins, rules.unbounded_age) if ends is None else usable_until(ends, rules.grace)
    return VerifiedResponse(
        status=single.status,
        reason=name_reason(single.reason),
        this_update=begins,
        next_update=ends,
        fresh_until=fresh,
    )


def _check_nonce(response: BasicResponse, nonce: bytes | None) -> None:
    """Step 6: an old response must not be accepted as a new one."""
    if nonce is None:
        return
    if not response.nonces:
        raise ResponseRejected("it lacks the nonce that was sent")
    if set(response.nonces) != {nonce}:
        raise ResponseRejected("it has another nonce than the one that was sent")
