"""RFC 6960: what one OCSP answer says of one certificate, and whether it may be believed.

1. The answer is successful, well formed, at most 64 KiB, and of the basic type.
2. One of its single responses is about this very certificate: serial, and the hashes of the issuer's name
   and key (4.1.1); another issuer's answer about the same serial is none.
3. It is signed by the issuer itself, or by a responder whose certificate comes with the answer, was signed
   by the same key of the issuer, is in its dates, and is marked for OCSP signing (4.2.2.2). The signer is
   the responder that the answer names.
4. Its times: not from the future, not past its next update, not older than may be (4.2.2.1).
5. Where a nonce was sent, it comes back (RFC 9654).
Everything else leaves the status undetermined, with the reason kept.

The status of a delegated responder is asked of nobody: `id-pkix-ocsp-nocheck`, or a short life, is the
authority's business (4.2.2.2.1); its dates are held here.

Not here: sending requests, and which address to ask (runtime).
Standard: RFC 6960 sections 3.2 and 4.2; RFC 5019; RFC 9654.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.errors import MalformedInput
from doorward.verification.path.building import Work, WorkExceeded
from doorward.verification.path.certificate import PathCertificate, read_path_certificate
from doorward.verification.path.conformance import PathInputs, check_leaf
from doorward.verification.path.signatures import Strength, verifies
from doorward.verification.revocation.status import Status, StatusFinding, usable_until
from doorward.verification.revocation.words import name_reason

ANSWER_LIMIT = 64 * 1024
"""Bytes. Honest answers have one to five kilobytes, most of it the responder's certificate."""
SINGLE_LIMIT = 64
"""Single responses that are looked at; RFC 5019 allows one."""
SIGNER_LIMIT = 8

_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
_DIGESTS = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
"""Of names and keys, which are no secrets and are compared, not signed: SHA-1 is what RFC 5019 asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRules:
    """How answers are judged.

    Args:
        strength: which keys and hashes are strong enough.
        max_age: how old an answer may be, whatever it says of its next update; the only limit where it
            says nothing.
        grace: how long after its next update an answer may still be used.
        skew: how far in the future its times may lie (clocks differ).
    """

    strength: Strength
    max_age: timedelta = timedelta(days=7)
    grace: timedelta = timedelta(0)
    skew: timedelta = timedelta(minutes=5)


class Unfit(Exception):
    """An answer that cannot be believed for this certificate; `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a genuine answer says of a certificate; `reason` is empty unless it is revoked."""

    status: Status
    reason: str
    this_update: datetime
    next_update: datetime | None
    fresh_until: datetime


class Ended(Unfit):
    """An answer that is genuine and out of date: nothing good that it said counts any more."""

    def __init__(self, said: Said) -> None:
        super().__init__("it is out of date")
        self.said = said


def judge_by_ocsp(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: Work | None = None,
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
        said = read_answer(certificate, issuer, answer, now, rules, nonce=nonce, work=work)
    except Unfit as unfit:
        if isinstance(unfit, Ended) and unfit.said.status is Status.REVOKED:
            return _found(unfit.said, certificate, answer)
        return StatusFinding(
            status=Status.UNDETERMINED, certificate=certificate.sha256, why=(f"OCSP answer: {unfit}",)
        )
    if said.status is Status.UNDETERMINED:
        why = ("OCSP answer: the responder does not know the certificate",)
        return StatusFinding(status=said.status, certificate=certificate.sha256, why=why)
    return _found(said, certificate, answer)


def _found(said: Said, certificate: PathCertificate, answer: bytes) -> StatusFinding:
    return StatusFinding(
        status=said.status,
        certificate=certificate.sha256,
        evidence=(hashlib.sha256(answer).hexdigest(),),
        reason=said.reason,
        this_update=said.this_update,
        fresh_until=said.fresh_until,
    )


def read_answer(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None = None,
    work: Work | None = None,
) -> Said:
    """Return what a genuine answer says, which may be that the responder does not know the certificate.

    The arguments are those of `judge_by_ocsp`.

    Raises:
        Unfit: it cannot be believed: steps 1 to 5.
        WorkExceeded: the budget is used up.
    """
    try:
        return _read(certificate, issuer, answer, now, rules, nonce=nonce, work=work or Work())
    except (Unfit, WorkExceeded):
        raise
    except Exception as fault:  # what stands inside is parsed late, and raises anything at all
        raise Unfit("it does not parse") from fault


def _read(
    certificate: PathCertificate,
    issuer: PathCertificate,
    answer: bytes,
    now: datetime,
    rules: OcspRules,
    *,
    nonce: bytes | None,
    work: Work,
) -> Said:
    response = _parse(answer)
    single = _find_single(response, certificate, issuer)
    _check_signature(response, issuer, now, rules, work)
    fresh_until = _check_times(single, now, rules)
    _check_nonce(response, nonce)
    states = {ocsp.OCSPCertStatus.GOOD: Status.GOOD, ocsp.OCSPCertStatus.REVOKED: Status.REVOKED}
    said = Said(
        status=states.get(single.certificate_status, Status.UNDETERMINED),
        reason=name_reason(single.revocation_reason),
        this_update=single.this_update_utc,
        next_update=single.next_update_utc,
        fresh_until=fresh_until,
    )
    if now > fresh_until:
        raise Ended(said)
    return said


def _parse(answer: bytes) -> ocsp.OCSPResponse:
    """Step 1."""
    if len(answer) > ANSWER_LIMIT:
        raise Unfit("it is too large")
    response = ocsp.load_der_ocsp_response(answer)
    status = response.response_status
    if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unfit(f"the responder says {status.name.lower().replace('_', ' ')}")
    return response


def _find_single(
    response: ocsp.OCSPResponse, certificate: PathCertificate, issuer: PathCertificate
) -> ocsp.OCSPSingleResponse:
    """Step 2."""
    for count, single in enumerate(response.responses):
        if count >= SINGLE_LIMIT:
            break
        if single.serial_number == certificate.serial and _is_of(single, issuer):
            return single
    raise Unfit("it is not about this certificate")


def _is_of(single: ocsp.OCSPSingleResponse, issuer: PathCertificate) -> bool:
    digest = _DIGESTS.get(single.hash_algorithm.name)
    if digest is None:
        return False
    name = digest(issuer.certificate.subject.public_bytes()).digest()
    return (single.issuer_name_hash, single.issuer_key_hash) == (name, digest(issuer.key_bits).digest())


def _check_signature(
    response: ocsp.OCSPResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: Work
) -> None:
    """Step 3."""
    for signer in _signers(response, issuer, now, rules, work):
        if _is_named(response, signer):
            work.take_signature(signer.key)
            if verifies(signer.key, response, rules.strength):
                return
            raise Unfit("its signature does not verify")
    raise Unfit("nobody who may sign it is named in it")


def _signers(
    response: ocsp.OCSPResponse, issuer: PathCertificate, now: datetime, rules: OcspRules, work: Work
) -> Iterator[PathCertificate]:
    yield issuer
    inputs = PathInputs(purpose=_OCSP_SIGNING, hold_profile=False, strength=rules.strength)
    for certificate in response.certificates[:SIGNER_LIMIT]:
        try:
            delegate = read_path_certificate(certificate)
        except MalformedInput:
            continue
        if delegate.issuer != issuer.subject or check_leaf(delegate, inputs, now):
            continue
        work.take_signature(issuer.key)
        if verifies(issuer.key, delegate.certificate, rules.strength):
            yield delegate


def _is_named(response: ocsp.OCSPResponse, signer: PathCertificate) -> bool:
    """Return whether the answer's ResponderID is this signer (4.2.1)."""
    if response.responder_name is not None:
        return response.responder_name == signer.certificate.subject
    return response.responder_key_hash == hashlib.sha1(signer.key_bits).digest()  # noqa: S324  as 4.2.1 asks


def _check_times(single: ocsp.OCSPSingleResponse, now: datetime, rules: OcspRules) -> datetime:
    """Step 4; return when the answer ends."""
    begins, ends = single.this_update_utc, single.next_update_utc
    if begins > now + rules.skew:
        raise Unfit("it is from the future")
    oldest = begins + rules.max_age
    return oldest if ends is None else min(oldest, usable_until(ends, rules.grace))


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes | None) -> None:
    """Step 5: an old answer is not taken for a new one."""
    if nonce is None:
        return
    try:
        found = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except Exception as fault:  # absent, or it does not parse
        raise Unfit("it lacks the nonce that was sent") from fault
    if found != nonce:
        raise Unfit("its nonce is another")
