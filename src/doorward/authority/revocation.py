"""Revoke, hold and release certificates; publish the revocation list.

What a step may do is in one table (pki.lifecycle). State, number in the change sequence, event and the
OCSP answers are one transaction: from its commit on, our own door refuses the certificate
(DESIGN 2.4) and the status listener says so. The CRL follows within seconds, for relying parties that
take nothing else.

Revoking never waits for anything: where the responder's key is away, the old answers are dropped.

Not here: cutting live connections (gateway), which follow from the change.
Standard: RFC 5280 sections 5 and 5.3.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.audit.events import EventType, printable
from doorward.authority.answers import AnswerSigner, replace_answers, signer_if_any
from doorward.authority.inventory import require_certificate
from doorward.authority.journal import write_event
from doorward.authority.records import AuthorityKind, ChangeKind, CrlRecord
from doorward.authority.services import Services
from doorward.authority.standing import load_key, require_authority
from doorward.authority.stores import Books
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT
from doorward.pki.crl import CrlEntry, build_crl, sign_crl
from doorward.pki.lifecycle import LifecycleStep, check_transition

CRL_PAUSE = timedelta(seconds=10)
"""The shortest time between two CRLs: a list of 1,000,000 entries takes 1 to 2 seconds of one core."""

_LOOK_BACK = 200
"""Changes that are looked through for a revocation before a new list is simply made."""

_EVENTS = {
    LifecycleStep.REVOKE: EventType.CERTIFICATE_REVOKED,
    LifecycleStep.HOLD: EventType.CERTIFICATE_HELD,
    LifecycleStep.RELEASE: EventType.CERTIFICATE_RELEASED,
}
_LISTED = frozenset({CertificateState.REVOKED, CertificateState.ON_HOLD})


def revoke(services: Services, certificate_id: str, reason: RevocationReason, actor: str) -> int:
    """Revoke a certificate for good.

    Returns:
        The number of the change, for waiting until the gateways have confirmed it.

    Raises:
        NotFound: `certificate-unknown`.
        RequestRefused: `transition-refused` (it is revoked already, or was never issued),
            `reason-refused`.
    """
    with services.work.change() as books:
        signer = signer_if_any(services, books)
        return revoke_within(
            services, books, signer, certificate_id, reason, actor=actor, now=services.clock.now()
        )


def hold(services: Services, certificate_id: str, actor: str) -> int:
    """Suspend a certificate until it is released; returns and raises as `revoke` does."""
    with services.work.change() as books:
        signer, now = signer_if_any(services, books), services.clock.now()
        return _take_step(services, books, signer, certificate_id, LifecycleStep.HOLD, actor=actor, now=now)


def release(services: Services, certificate_id: str, actor: str) -> int:
    """Make a held certificate valid again; returns and raises as `revoke` does."""
    with services.work.change() as books:
        signer, now = signer_if_any(services, books), services.clock.now()
        return _take_step(
            services, books, signer, certificate_id, LifecycleStep.RELEASE, actor=actor, now=now
        )


def revoke_within(
    services: Services,
    books: Books,
    signer: AnswerSigner | None,
    certificate_id: str,
    reason: RevocationReason,
    *,
    actor: str,
    now: datetime,
) -> int:
    """Revoke in the caller's transaction; `signer` is what `signer_if_any` returned for it."""
    step = LifecycleStep.REVOKE
    return _take_step(services, books, signer, certificate_id, step, reason=reason, actor=actor, now=now)


def publish_crl(services: Services) -> CrlRecord:
    """Make and store the next revocation list of the current issuing authority.

    Returns:
        The newest list: another process's where that one was quicker.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`.
    """
    now = services.clock.now()
    with services.work.read() as books:
        issuing = require_authority(books, AuthorityKind.ISSUING)
        key = load_key(services, issuing)
        before = books.status.crl(issuing.id)
        through = books.changes.head()
        # A certificate stays listed until a list was issued after its end (RFC 5280 section 3.3).
        since = before.this_update if before else issuing.created_at
        entries = [
            CrlEntry(one.serial, one.revoked_at, one.reason)
            for one in books.certificates.revoked(issuing.id, since)
            if one.revoked_at is not None and one.reason is not None
        ]
    crl = CrlRecord(
        authority_id=issuing.id,
        tenant=TENANT,
        number=before.number + 1 if before else 1,
        der=b"",
        this_update=now,
        next_update=now + services.crl_lifetime,
        through_seq=through,
    )
    unsigned = build_crl(
        x509.load_der_x509_certificate(issuing.der),
        entries,
        number=crl.number,
        this_update=crl.this_update,
        next_update=crl.next_update,
    )
    return _store_crl(services, replace(crl, der=sign_crl(unsigned, key)), entries=len(entries))


def crl_due(services: Services, now: datetime) -> bool:
    """Say whether a new list should be published.

    It is when there is none; when half of the newest one's time is over, so that a relying party
    always finds one that is good for a while; or when something was revoked, held or released since,
    at most every 10 seconds.
    """
    with services.work.read() as books:
        issuing = require_authority(books, AuthorityKind.ISSUING)
        crl = books.status.crl(issuing.id)
        if crl is None or now >= crl.this_update + (crl.next_update - crl.this_update) / 2:
            return True
        return now >= crl.this_update + CRL_PAUSE and _has_news(books, crl)


def _has_news(books: Books, crl: CrlRecord) -> bool:
    changes = books.changes.since(crl.through_seq, limit=_LOOK_BACK)
    if len(changes) == _LOOK_BACK:
        return True
    for change in changes:
        record = books.certificates.get(change.subject) if change.kind is ChangeKind.CERTIFICATE else None
        if record is None or record.authority_id != crl.authority_id:
            continue
        # A valid certificate that is older than the list may have been released since.
        if record.state in _LISTED or record.created_at <= crl.this_update:
            return True
    return False


def _store_crl(services: Services, crl: CrlRecord, *, entries: int) -> CrlRecord:
    with services.work.change() as books:
        newest = books.status.crl(crl.authority_id)
        if newest is not None and newest.number >= crl.number:
            return newest
        books.status.store_crl(crl)
        event = write_event(
            services,
            EventType.CRL_PUBLISHED,
            actor="system",
            data={
                "authority": crl.authority_id,
                "sha256": hashlib.sha256(crl.der).hexdigest(),
                "number": crl.number,
                "entries": entries,
                "this_update": crl.this_update,
                "next_update": crl.next_update,
            },
        )
        books.outbox.add(event)
    return crl


def _take_step(
    services: Services,
    books: Books,
    signer: AnswerSigner | None,
    certificate_id: str,
    step: LifecycleStep,
    *,
    actor: str,
    now: datetime,
    reason: RevocationReason | None = None,
) -> int:
    """Take one step of the table: state, OCSP answers, event, change."""
    before = require_certificate(books, certificate_id)
    transition = check_transition(before.state, step, reason)
    listed = transition.after in _LISTED
    after = replace(
        before,
        state=transition.after,
        reason=transition.reason,
        # From hold to revoked it has been refused all the time: the first moment stays.
        revoked_at=(before.revoked_at or now) if listed else None,
    )
    books.certificates.set_state(
        certificate_id, after.state, reason=after.reason, revoked_at=after.revoked_at
    )
    replace_answers(books, certificate_id, signer.sign(after, now) if signer else (), now)
    event = write_event(
        services,
        _EVENTS[step],
        actor=actor,
        at=now,
        data={
            "certificate": certificate_id,
            "principal": after.principal_id,
            "authority": after.authority_id,
            "serial": f"{after.serial:x}",
            "sha256": after.sha256,
            "reason": after.reason.value if after.reason else "",
        },
        personal={"name": printable(after.subject_name)},
    )
    books.outbox.add(event)
    return books.changes.note(ChangeKind.CERTIFICATE, certificate_id, now)
