"""Revoke, hold and release certificates.

The allowed transitions are in one table (pki.lifecycle). The state, the number in the change sequence, the event and the
OCSP responses are written in one transaction. After its commit our own door refuses the certificate
and the status listener reports it as revoked. The next CRL follows within seconds, for relying parties that
use CRLs only (crls).

A revocation never waits: if the responder's key is not available, the old OCSP responses are removed.

Not here: cutting live connections (gateway), which the change causes.
Standard: RFC 5280 sections 5 and 5.3.1.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from doorward.audit.events import EventType, printable
from doorward.authority.holder_certificates import every_certificate
from doorward.authority.inventory import find_within, require_certificate
from doorward.authority.line import clear_clone
from doorward.authority.status.ocsp_responses import OcspSigner, replace_responses, signer_if_any
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.names import PORTAL_APPLICATION
from doorward.pki.facts import has_revocation_information
from doorward.pki.lifecycle import LISTED_STATES, LifecycleStep, check_transition
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, ChangeKind
from doorward.stores.services import Services
from doorward.verification.validity import has_ended

_EVENTS = {
    LifecycleStep.REVOKE: EventType.CERTIFICATE_REVOKED,
    LifecycleStep.HOLD: EventType.CERTIFICATE_HELD,
    LifecycleStep.RELEASE: EventType.CERTIFICATE_RELEASED,
}

_CLEARED = "the suspicion that its device was copied is cleared"

_STEPS = {
    CertificateState.REVOKED: LifecycleStep.REVOKE,
    CertificateState.ON_HOLD: LifecycleStep.HOLD,
    CertificateState.VALID: LifecycleStep.RELEASE,
}


def revoke(services: Services, certificate_id: str, reason: RevocationReason, actor: str) -> int:
    """Revoke a certificate; this cannot be undone.

    Returns:
        The number of the change, for waiting until the gateways have confirmed it.

    Raises:
        NotFound: `certificate-unknown`.
        RequestRefused: `transition-refused` (it is already revoked, or was never issued),
            `reason-refused`.
    """
    with services.work.change() as stores:
        signer = signer_if_any(services, stores)
        return revoke_within(
            services, stores, signer, certificate_id, reason, actor=actor, now=services.clock.now()
        )


def hold(services: Services, certificate_id: str, actor: str) -> int:
    """Suspend a certificate until it is released; returns and raises as `revoke` does."""
    with services.work.change() as stores:
        signer, now = signer_if_any(services, stores), services.clock.now()
        return hold_within(services, stores, signer, certificate_id, actor=actor, now=now)


def hold_within(
    services: Services,
    stores: Stores,
    signer: OcspSigner | None,
    certificate_id: str,
    *,
    actor: str,
    now: datetime,
) -> int:
    """Do what `hold` does in the caller's transaction."""
    return _apply_step(services, stores, signer, certificate_id, LifecycleStep.HOLD, actor=actor, now=now)


def release(services: Services, certificate_id: str, actor: str) -> int:
    """Make a held certificate valid again; returns and raises as `revoke` does."""
    with services.work.change() as stores:
        signer, now = signer_if_any(services, stores), services.clock.now()
        return _apply_step(
            services, stores, signer, certificate_id, LifecycleStep.RELEASE, actor=actor, now=now
        )


def ensure_state(
    services: Services,
    text: str,
    wanted: CertificateState,
    *,
    reason: RevocationReason | None = None,
    actor: str,
) -> ChangeResult[CertificateRecord]:
    """Revoke, hold or release the certificate that a person means; do nothing if it is in the wanted state already.

    Args:
        services: the ports of this process.
        text: as for `find_certificate`.
        wanted: revoked, on hold, or valid.
        reason: why it is revoked.
        actor: who acts.

    A release also ends the suspicion that the device was cloned (`authority.line`), in every state of the certificate.

    Returns:
        The certificate after the change. If it was in the wanted state already, a note says so. After a revocation, a
        note names each valid certificate that was renewed from the revoked one.

    Raises:
        NotFound, RequestRefused: as `find_certificate` and `revoke`.
    """
    with services.work.change() as stores:
        found = find_within(stores, text)
        signer, now = signer_if_any(services, stores), services.clock.now()
        cleared: tuple[str, ...] = ()
        if wanted is CertificateState.VALID and clear_clone(services, stores, found, actor=actor, now=now):
            cleared = (_CLEARED,)
        if found.state is wanted:
            why = f": {found.reason.value}" if found.reason else ""
            return ChangeResult(
                value=found,
                seq=stores.changes.head(),
                notes=(*cleared, f"it was {wanted.value} already{why}"),
            )
        step = _STEPS[wanted]
        seq = _apply_step(services, stores, signer, found.id, step, reason=reason, actor=actor, now=now)
        notes = _note_successors(stores, found, now) if wanted is CertificateState.REVOKED else ()
        return ChangeResult(value=require_certificate(stores, found.id), seq=seq, notes=(*cleared, *notes))


def _note_successors(stores: Stores, record: CertificateRecord, now: datetime) -> tuple[str, ...]:
    """Return a note for each valid certificate renewed from this one: the thief of its key may have renewed it."""
    if not record.principal_id:
        return ()
    line, notes = {record.id}, []
    later = every_certificate(stores, record.principal_id, after_id=record.id)
    for one in later:  # sorted by id, which is the order of time
        if one.replaces in line:
            line.add(one.id)
            if one.state is CertificateState.VALID and not has_ended(one.not_after, now):
                notes.append(f"{one.id} was renewed from it and is valid: doorward cert revoke {one.id}")
    return tuple(notes)


def revoke_within(
    services: Services,
    stores: Stores,
    signer: OcspSigner | None,
    certificate_id: str,
    reason: RevocationReason,
    *,
    actor: str,
    now: datetime,
) -> int:
    """Revoke in the caller's transaction; `signer` is the result of `signer_if_any` in it."""
    step = LifecycleStep.REVOKE
    return _apply_step(services, stores, signer, certificate_id, step, reason=reason, actor=actor, now=now)


def _apply_step(
    services: Services,
    stores: Stores,
    signer: OcspSigner | None,
    certificate_id: str,
    step: LifecycleStep,
    *,
    actor: str,
    now: datetime,
    reason: RevocationReason | None = None,
) -> int:
    """Apply one step of the table: write the state, the OCSP responses, the event and the change."""
    before = require_certificate(stores, certificate_id)
    transition = check_transition(before.state, step, reason)
    listed = transition.after in LISTED_STATES
    after = replace(
        before,
        state=transition.after,
        reason=transition.reason,
        # A certificate on hold was refused already: if it is revoked now, the first time stays.
        revoked_at=(before.revoked_at or now) if listed else None,
    )
    stores.certificates.set_state(
        certificate_id, after.state, reason=after.reason, revoked_at=after.revoked_at
    )
    if after.state is CertificateState.REVOKED:
        stores.suspected_clones.remove(certificate_id)  # decided
        stores.sessions.end_certificate(certificate_id, now)
    elif after.state is CertificateState.ON_HOLD:
        _end_sessions(services, stores, after, actor=actor, now=now)
    # For a partner's certificate the partner's responder answers; for a short-lived one no response is prepared.
    if before.profile != PARTNER_PROFILE and has_revocation_information(before.der):
        replace_responses(stores, certificate_id, signer.sign(after, now) if signer else (), now)
    event = new_event(
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
    stores.outbox.add(event)
    seq = stores.changes.note(ChangeKind.CERTIFICATE, certificate_id, now)
    if before.profile != PARTNER_PROFILE:
        stores.deltas.note(after.authority_id, seq, after.serial)  # for the next CRLs
    return seq


def _end_sessions(
    services: Services, stores: Stores, held: CertificateRecord, *, actor: str, now: datetime
) -> None:
    """End the sessions of a certificate that is on hold, so that a release does not restore them.

    All sessions of one principal at one application share an epoch, so its other sessions there end too.
    """
    if not held.principal_id:
        return
    own = [one for one in stores.sessions.open_at(now, held.principal_id) if one.certificate_id == held.id]
    stores.session_codes.remove_all(held.principal_id)
    number = stores.sessions.end_certificate(held.id, now)
    for application_id in sorted({one.application_id for one in own} - {PORTAL_APPLICATION}):
        number += stores.sessions.end_all(held.principal_id, now, application_id)
        stores.epochs.raise_for(held.principal_id, application_id)
    if own:
        event = new_event(
            services,
            EventType.SESSION_ENDED,
            actor=actor,
            at=now,
            data={
                "reason": "certificate-held",
                "principal": held.principal_id,
                "certificate": held.id,
                "number": number,
            },
        )
        stores.outbox.add(event)
        stores.changes.note(ChangeKind.PRINCIPAL, held.principal_id, now)
