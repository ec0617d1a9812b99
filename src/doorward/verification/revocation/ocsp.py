"""RFC 6960: what one OCSP answer says of one certificate, and whether it may be believed.

1. The answer is successful, well formed, at most 64 KiB, and of the basic type.
2. Single responses of it are about this very certificate: serial, and the hashes of the issuer's name and key (4.1.1),
   in the encoding of either certificate; another issuer's answer about the same serial is none.
3. Neither it nor they have a critical extension that is not known (4.4).
4. It is signed by the issuer itself, or by a responder. Its certificate then comes with the answer, was signed
   by the same key of the issuer, is in its dates, and is marked for OCSP signing (4.2.2.2). The signer is
   the responder that the answer names; names are compared as RFC 5280 section 7.1 asks.
5. Their times: not from the future, not past their next update; if they have none, not older than may be (4.2.2.1).
6. If a nonce was sent, it comes back (RFC 9654).
7. Of several about this certificate the worst counts: revoked, then unknown, then good.
Everything else leaves the status undetermined, with the reason kept.

The status of a delegated responder is not asked for: `id-pkix-ocsp-nocheck`, critical or not, or a short life, is the
authority's business (4.2.2.2.1); its dates are held here.

Not here: the bytes (ocsp_response), sending requests, and which address to ask (runtime).
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

ANSWER_LIMIT = 64 * 1024
"""Bytes. Honest answers have one to five kilobytes, most of it the responder's certificate."""
SIGNER_LIMIT = 8

_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
_NO_CHECK = ExtensionOID.OCSP_NO_CHECK.dotted_string
_DIGESTS = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}
"""Of names and keys, which are no secrets and are compared, not signed: SHA-1 is what RFC 5019 asks for."""
_WORST_FIRST = (RevocationStatus.REVOKED, RevocationStatus.UNDETERMINED, RevocationStatus.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRules:
    """How answers are judged.

    Args:
        strength: which keys and hashes are strong enough.
        unbounded_age: how old an answer without a next update may be.
        grace: how long after its next update an answer may still be used.
        skew: how far in the future its times may lie (clocks differ).
    """

    strength: Strength
    unbounded_age: timedelta = timedelta(days=7)
    grace: timedelta = timedelta(0)
    skew: timedelta = CLOCK_SKEW


class ResponseRejected(Exception):
    """An answer that cannot be believed for this certificate; `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedResponse:
    """What a genuine answer says of a certificate; `reason` is empty unless it is revoked."""

    status: RevocationStatus
    reason: str
    this_update: datetime
    next_update: datetime | None
    fresh_until: datetime


class ResponderFailed(ResponseRejected):
    """No answer: the responder tells a failure, which is unsigned."""


class ResponseExpired(ResponseRejected):
    """An answer that is genuine and out of date: nothing good that it said counts any more."""

    def __init__(self, response: VerifiedResponse) -> None:
        super().__init__("it is out of date")
        self.response = response


def judge_by_ocsp(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: WorkBudget | None = None,
) -> StatusFinding:
    """Return what an answer says of a certificate.

    Args:
        certificate: whose status.
        issuer: who signed it, good in a path.
        answer: an OCSPResponse in DER.
        now: aware, UTC.
        rules: see `OcspRules`.
        nonce: what was sent; None where nothing was.
        work: the budget of the judgement, which each signature takes from; one of its own where None.

    Returns:
        Good, revoked, or undetermined with the reason why. Revoked may be what an answer said that is out
        of date, which `fresh_until` tells: it counts where nothing newer is known.

    Raises:
        WorkExceeded: the budget is used up.

    Standard: RFC 6960 section 3.2.
    """
    try:
        found = verify_response(certificate, issuer, answer, now, rules, nonce=nonce, work=work)
    except ResponseRejected as rejected:
        if isinstance(rejected, ResponseExpired) and rejected.response.status is RevocationStatus.REVOKED:
            return _found(rejected.response, certificate, answer)
        return StatusFinding(
            status=RevocationStatus.UNDETERMINED,
            certificate=certificate.sha256,
            why=(f"OCSP answer: {rejected}",),
            unusable=not isinstance(rejected, ResponseExpired | ResponderFailed),
        )
    if found.status is RevocationStatus.UNDETERMINED:
        why = ("OCSP answer: the responder does not know the certificate",)
        return StatusFinding(status=found.status, certificate=certificate.sha256, why=why, unusable=True)
    return _found(found, certificate, answer)


def _found(found: VerifiedResponse, certificate: PathCertificate, answer: bytes) -> StatusFinding:
    return StatusFinding(
        status=found.status,
        certificate=certificate.sha256,
        evidence=(hashlib.sha256(answer).hexdigest(),),
        reason=found.reason,
        this_update=found.this_update,
        fresh_until=found.fresh_until,
    )


def verify_response(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: WorkBudget | None = None,
) -> VerifiedResponse:
    """Return what a genuine answer says, which may be that the responder does not know the certificate.

    The arguments are those of `judge_by_ocsp`.

    Raises:
        ResponseRejected: it cannot be believed: steps 1 to 6.
        WorkExceeded: the budget is used up.
    """
    try:
        return _read(certificate, issuer, answer, now, rules, nonce=nonce, work=work or WorkBudget())
    except (ResponseRejected, WorkExceeded):
        raise
    except Exception as fault:  # what stands inside is parsed late, and raises anything at all
        raise ResponseRejected("it does not parse") from fault


def _read(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None,
    work: WorkBudget,
) -> VerifiedResponse:
    response = _parse(answer)
    singles = _find_singles(response, certificate, issuer)
    _check_critical(response, singles)
    _check_signature(response, issuer, now, rules, work)
    found = [_read_verified(one, now, rules) for one in singles]
    _check_nonce(response, nonce)
    worst = min(found, key=lambda one: (_WORST_FIRST.index(one.status), now > one.fresh_until))
    if now > worst.fresh_until:
        raise ResponseExpired(worst)
    return worst


def _parse(answer: bytes) -> BasicResponse:
    """Step 1."""
    if len(answer) > ANSWER_LIMIT:
        raise ResponseRejected("it is too large")
    try:
        return parse_basic_response(answer)
    except ErrorResponse as failure:
        raise ResponderFailed(f"the responder says {failure}") from None


def _find_singles(
    answer: BasicResponse, certificate: PathCertificate, issuer: PathCertificate
) -> list[SingleResponse]:
    """Step 2: the encodings of the issuer's name in its own certificate and in this one may differ."""
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
        for one, single in answer.singles
        if one.serial == certificate.serial and is_of(one.digest, one.name_hash, one.key_hash)
    ]
    if not found:
        raise ResponseRejected("it is not about this certificate")
    return [read_single_response(one) for one in found]


def _check_critical(answer: BasicResponse, singles: list[SingleResponse]) -> None:
    """Step 3."""
    unknown = answer.unknown or next((one.unknown for one in singles if one.unknown), "")
    if unknown:
        raise ResponseRejected(f"it has a critical extension that is not known: {unknown}")


def _check_signature(
    answer: BasicResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: WorkBudget
) -> None:
    """Step 4."""
    for signer in _signers(answer, issuer, now, rules, work):
        if _is_named(answer, signer):
            work.take_signature(signer.key)
            if is_signature_valid(signer.key, answer.signed, rules.strength):
                return
            raise ResponseRejected("its signature does not verify")
    raise ResponseRejected("it names no signer that may sign it")


def _signers(
    answer: BasicResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: WorkBudget
) -> Iterator[PathCertificate]:
    yield issuer
    inputs = PathInputs(purpose=_OCSP_SIGNING, enforce_profile=False, strength=rules.strength)
    for der in answer.certificates[:SIGNER_LIMIT]:
        try:
            delegate = parse_path_certificate(der)
        except MalformedInput:
            continue
        understood = replace(delegate, critical=delegate.critical - {_NO_CHECK})
        if delegate.issuer != issuer.subject or check_leaf(understood, inputs, now):
            continue
        work.take_signature(issuer.key)
        if is_signature_valid(issuer.key, delegate.signed, rules.strength):
            yield delegate


def _is_named(answer: BasicResponse, signer: PathCertificate) -> bool:
    """Return whether the answer's ResponderID is this signer (4.2.1); names by RFC 5280 section 7.1."""
    if answer.responder_name is not None:
        written, name = answer.responder_name
        return name == signer.subject if name is not None else signer.subject_der == written
    return answer.responder_key == hashlib.sha1(signer.key_bits).digest()  # noqa: S324  as 4.2.1 asks


def _read_verified(single: SingleResponse, now: datetime, rules: OcspRules) -> VerifiedResponse:
    """Step 5: with the moment at which it ends."""
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


def _check_nonce(answer: BasicResponse, nonce: bytes | None) -> None:
    """Step 6: an old answer is not taken for a new one."""
    if nonce is None:
        return
    if not answer.nonces:
        raise ResponseRejected("it lacks the nonce that was sent")
    if set(answer.nonces) != {nonce}:
        raise ResponseRejected("its nonce is another")
