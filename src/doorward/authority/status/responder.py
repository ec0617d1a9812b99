"""Responses for relying parties: OCSP, CRLs, authority certificates.

The steps of an OCSP response:
1. Parse the request; if it is malformed, answer `malformedRequest`.
2. Find the issuer; if it is not one of our own issuing authorities, answer `unauthorized`.
3. Look up the certificate by its serial number.
4. If the request has no nonce and there is a fresh pre-signed response, return it.
5. Otherwise sign a response now: good, revoked, or unknown for a serial number that we never issued. If this process
   cannot sign, return the pre-signed response even for a request with a nonce (RFC 9654 section 2.1
   allows a responder to leave it out). If there is none, a process without the responder's key answers `unauthorized`,
   and a process that has reached its limit of signatures (ocsp_signing_limiter) answers `tryLater`.

Not here: HTTP and caching headers (web.status).
Standard: RFC 6960 section 2; RFC 5019 section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.authority.status.ocsp_responses import (
    AuthoritySigner,
    OcspSigner,
    find_issuer,
    load_authority_signer,
    load_signer,
    refresh_horizon,
    replace_responses,
)
from doorward.core.errors import DoorwardError, MalformedInput, NotFound, Unavailable
from doorward.pki.ocsp import (
    OcspFailure,
    OcspRequest,
    describe_status,
    parse_ocsp_request,
    render_failure,
    sign_response,
)
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import (
    AuthorityKind,
    AuthorityRecord,
    CertificateRecord,
    CrlRecord,
)
from doorward.stores.services import Services
from doorward.verification.validity import has_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRefreshResult:
    """The result of one page of the refresh job; `more` is True if another page may be due."""

    looked_at: int
    signed: int
    more: bool


def answer_ocsp(services: Services, request: bytes) -> bytes:
    """Return a DER OCSPResponse for any bytes; no request makes it raise an error.

    Args:
        services: the ports of this process.
        request: a DER OCSPRequest, at most 8 KiB (the HTTP surface accepts half of that).

    Standard: RFC 6960 sections 2.1 to 2.3.
    """
    # 1. read
    try:
        question = parse_ocsp_request(request)
    except MalformedInput:
        return render_failure(OcspFailure.MALFORMED_REQUEST)
    try:
        with services.work.read() as stores:
            return _answer(services, stores, question, services.clock.now())
    except Unavailable:
        return render_failure(OcspFailure.TRY_LATER)
    except DoorwardError:
        return render_failure(OcspFailure.INTERNAL_ERROR)


def current_crl(services: Services, authority_id: str = "", partition: str = "") -> CrlRecord | None:
    """Return the newest CRL of an authority (default: the current issuing authority), or None.

    Args:
        services: the ports of this process.
        authority_id: `aut_…`.
        partition: the name of a partition; empty for the full CRL.
    """
    with services.work.read() as stores:
        issuer = authority_id or require_authority(stores, AuthorityKind.ISSUING).id
        return stores.status.crl(issuer, partition)


def crl_number(services: Services, authority_id: str, partition: str = "") -> int | None:
    """Return the number of the CRL that `current_crl` returns, without reading the CRL; None if there is none."""
    with services.work.read() as stores:
        return stores.status.crl_number(authority_id, partition)


def authority_certificate(services: Services, authority_id: str) -> bytes:
    """Return an own authority certificate in DER; raise `NotFound` (`authority-unknown`)."""
    with services.work.read() as stores:
        authority = stores.authorities.get(authority_id)
    if authority is None:
        raise NotFound("authority-unknown", f"there is no authority certificate {authority_id[:64]} here")
    return authority.der


def find_faults(services: Services, now: datetime) -> tuple[str, ...]:
    """Return the codes of the faults because of which relying parties cannot get a current status.

    They are those of every issuing authority that is trusted.

    `crl-missing`: no CRL was published yet. `crl-stale`: a CRL has expired.
    `responder-expired`: the OCSP responder's certificate has expired, so nothing is signed.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.ISSUING)
        found = [
            (stores.status.crl_heads(one.id), stores.authorities.responder(one.id))
            for one in trusted_issuers(stores)
        ]
    faults = {
        "crl-missing": any(not crls for crls, _ in found),
        "crl-stale": any(crl.next_update <= now for crls, _ in found for crl in crls),
        "responder-expired": any(one is None or one.not_after <= now for _, one in found),
    }
    return tuple(code for code, holds in faults.items() if holds)


def refresh_ocsp(services: Services, *, limit: int = 500) -> OcspRefreshResult:
    """Sign one page of due responses: more than half of their lifetime is over, or they are missing.

    Every certificate of a page is signed or dropped, so a caller that repeats this until `more` is False ends.

    Args:
        services: the ports of this process.
        limit: certificates in one page, which is one transaction.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`, `responder-expired`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        due = stores.status.due_ocsp(refresh_horizon(services, stores, now), limit)
        signer = load_signer(services, stores) if due else None
    if signer is None:
        return OcspRefreshResult(looked_at=0, signed=0, more=False)
    with services.work.change() as stores:
        signed = sum(_refresh(stores, signer, certificate_id, now) for certificate_id in due)
    return OcspRefreshResult(looked_at=len(due), signed=signed, more=len(due) == limit)


def _refresh(stores: Stores, signer: OcspSigner, certificate_id: str, now: datetime) -> bool:
    """Sign the responses about one certificate; drop them if it has expired, or if this signer may not sign them."""
    # Read again: it may have been revoked since the page was read.
    record = stores.certificates.get(certificate_id)
    expired = record is None or has_ended(record.not_after, now)
    responses = () if record is None or expired else signer.sign(record, now)
    if responses:
        replace_responses(stores, certificate_id, responses, now)
    else:
        stores.status.forget_ocsp(certificate_id)
    return bool(responses)


def _answer(services: Services, stores: Stores, question: OcspRequest, now: datetime) -> bytes:
    """Steps 2 to 5."""
    # 2. the issuer
    issuer = find_issuer(stores, question.hash_name, question.issuer_name_hash, question.issuer_key_hash)
    if issuer is None:
        return render_failure(OcspFailure.UNAUTHORIZED)
    # 3. the certificate
    record = stores.certificates.by_serial(issuer.id, question.serial)
    # 4. pre-signed
    pre_signed = _find_pre_signed(stores, record, question.hash_name, now)
    if pre_signed and question.nonce is None:
        return pre_signed
    # 5. signed now
    with services.ocsp_signing_limiter.slot(services.clock.monotonic()) as granted:
        if not granted:
            return pre_signed or render_failure(OcspFailure.TRY_LATER)
        signer = _find_signer(services, stores, issuer)
        if signer is None:
            return pre_signed or render_failure(OcspFailure.UNAUTHORIZED)
        state, at, reason = (record.state, record.revoked_at, record.reason) if record else (None, None, None)
        status = describe_status(state, at, reason)
        return sign_response(question, status, responder=signer.responder, window=signer.window(now))


def _find_pre_signed(
    stores: Stores, record: CertificateRecord | None, hash_name: str, now: datetime
) -> bytes:
    """Return the pre-signed response, or empty bytes if there is none or it has expired."""
    response = stores.status.ocsp(record.id, hash_name) if record is not None else None
    return response.der if response is not None and now < response.next_update else b""


def _find_signer(services: Services, stores: Stores, issuer: AuthorityRecord) -> AuthoritySigner | None:
    """Return the signer for this issuer, or None if this process has none, or if the issuer was retired."""
    if services.keys is None or issuer.retired_at is not None:
        return None
    return load_authority_signer(services, stores, issuer)
