"""What relying parties ask: OCSP answers, the revocation list, authority certificates.

The steps of an OCSP answer:
1. the request is read; what does not parse is answered `malformedRequest`;
2. the issuer that it means is one of our own issuing authorities, otherwise `unauthorized`;
3. the certificate is looked up by its serial number;
4. without a nonce, the answer made ahead is given, where there is a fresh one;
5. otherwise one is signed now: good, revoked, or unknown for a serial that we never issued. A process
   without the responder's key gives the answer made ahead even for a nonce (RFC 9654 section 2.1
   lets a responder leave it out), and `unauthorized` where there is none.

Not here: HTTP and caching headers (web.status).
Standard: RFC 6960 section 2; RFC 5019 section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.authority.answers import AnswerSigner, find_issuer, load_signer, replace_answers
from doorward.authority.inventory import require_certificate
from doorward.authority.records import (
    AuthorityKind,
    AuthorityRecord,
    CertificateFilter,
    CertificateRecord,
    CrlRecord,
)
from doorward.authority.services import Services
from doorward.authority.standing import require_authority
from doorward.authority.stores import Books
from doorward.core.certificate import CertificateState
from doorward.core.errors import DoorwardError, MalformedInput, NotFound, Unavailable
from doorward.pki.ocsp import (
    OcspFailure,
    OcspQuestion,
    describe_status,
    parse_ocsp_request,
    render_failure,
    sign_response,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """One page of the refresh job; `next_after_id` is empty after the last page."""

    looked_at: int
    signed: int
    next_after_id: str


def answer_ocsp(services: Services, request: bytes) -> bytes:
    """Return a DER OCSPResponse for any bytes; it never raises for what a peer sends.

    Args:
        services: the ports of this process.
        request: a DER OCSPRequest, at most 8 KiB.

    Standard: RFC 6960 sections 2.1 to 2.3.
    """
    # 1. read
    try:
        question = parse_ocsp_request(request)
    except MalformedInput:
        return render_failure(OcspFailure.MALFORMED_REQUEST)
    try:
        with services.work.read() as books:
            return _answer(services, books, question, services.clock.now())
    except Unavailable:
        return render_failure(OcspFailure.TRY_LATER)
    except DoorwardError:
        return render_failure(OcspFailure.INTERNAL_ERROR)


def current_crl(services: Services, authority_id: str = "") -> CrlRecord | None:
    """Return the newest revocation list of an authority (default: the current issuing one), or None."""
    with services.work.read() as books:
        issuer = authority_id or require_authority(books, AuthorityKind.ISSUING).id
        return books.status.crl(issuer)


def authority_certificate(services: Services, authority_id: str) -> bytes:
    """Return an own authority certificate in DER; raise `NotFound` (`authority-unknown`)."""
    with services.work.read() as books:
        authority = books.authorities.get(authority_id)
    if authority is None:
        raise NotFound("authority-unknown", "there is no such authority certificate here")
    return authority.der


def refresh_ocsp(services: Services, *, limit: int = 500, after_id: str = "") -> Refreshed:
    """Sign anew the answers of one page of certificates whose time is more than half over.

    Args:
        services: the ports of this process.
        limit: certificates that are looked at; one transaction.
        after_id: the last page's `next_after_id`; empty begins anew.

    Raises:
        NotFound: `not-founded`; `certificate-unknown` where `after_id` is none of ours.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    with services.work.read() as books:
        page = books.certificates.list(CertificateFilter(after_id=after_id, limit=limit))
        signer = load_signer(services, books)
        due = [one.id for one in page if _is_due(books, one, signer.lifetime, now)]
    if due:
        with services.work.change() as books:
            for certificate_id in due:
                # Read again: a revocation since must not be answered with what was true before.
                record = require_certificate(books, certificate_id)
                replace_answers(books, certificate_id, signer.sign(record, now))
    return Refreshed(
        looked_at=len(page), signed=len(due), next_after_id=page[-1].id if len(page) == limit else ""
    )


def _is_due(books: Books, record: CertificateRecord, lifetime: timedelta, now: datetime) -> bool:
    """Say whether a certificate's answers are missing or half over; nobody asks about an expired one."""
    if record.state is CertificateState.INTENDED or record.not_after < now:
        return False
    answer = books.status.ocsp(record.id, "sha1")
    return answer is None or now >= answer.next_update - lifetime / 2


def _answer(services: Services, books: Books, question: OcspQuestion, now: datetime) -> bytes:
    """Steps 2 to 5."""
    # 2. the issuer
    issuer = find_issuer(books, question.hash_name, question.issuer_name_hash, question.issuer_key_hash)
    if issuer is None:
        return render_failure(OcspFailure.UNAUTHORIZED)
    # 3. the certificate
    record = books.certificates.by_serial(issuer.id, question.serial)
    # 4. made ahead
    ready = _find_ready(books, record, question.hash_name, now)
    if ready and question.nonce is None:
        return ready
    # 5. now
    signer = _find_signer(services, books, issuer)
    if signer is None:
        return ready or render_failure(OcspFailure.UNAUTHORIZED)
    state, at, reason = (record.state, record.revoked_at, record.reason) if record else (None, None, None)
    return sign_response(
        question, describe_status(state, at, reason), responder=signer.responder, window=signer.window(now)
    )


def _find_ready(books: Books, record: CertificateRecord | None, hash_name: str, now: datetime) -> bytes:
    """Return the answer made ahead, or nothing where it is missing or its time is over."""
    answer = books.status.ocsp(record.id, hash_name) if record is not None else None
    return answer.der if answer is not None and now < answer.next_update else b""


def _find_signer(services: Services, books: Books, issuer: AuthorityRecord) -> AnswerSigner | None:
    """Return the signer for that issuer, or None where this process has none."""
    if services.keys is None:
        return None
    signer = load_signer(services, books)
    return signer if signer.authority_id == issuer.id else None
