"""One-time invitations: a link becomes a certificate, once.

A token is 256 random bits in base64url. Only its SHA-256 is stored, so that a reader of the database cannot redeem an
invitation. A fast hash is sufficient: 256 random bits cannot be guessed.

States of an invitation: open --redeem--> used (by exactly one caller); open --time--> expired;
open --void--> voided for good: by an operator, by a newer invitation, by suspending or removing the principal,
and, if a person made it for another device, by the end of all of that person's sessions.
- A principal has at most one open invitation; resuming a suspended principal does not reopen one.
- An invitation that a person made for another device (`added_devices`) works only while the certificate that made it is
  valid: reporting a loss, by the holder or an administrator, ends the link too.
- Redeeming (`inviting.InvitationClaim`) is one conditional UPDATE in the transaction that records the intent to issue. Of
  two callers one succeeds; no certificate exists without a redeemed invitation, and no invitation gives two.
- After a crash between intent and signature the invitation is used, and its certificate stays an intent that is never
  valid: no person got in, and the operator invites again.

Not here: making an invitation (`inviting`), answers to the holder of a link (`enrolment.invitation`), the link around the
token (web, cli), and who may invite (each process that can write the database).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from enum import Enum

from doorward.audit.events import EventType, printable
from doorward.core.certificate import CertificateState
from doorward.core.entities import Principal
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.events import new_event
from doorward.stores.prerequisites import require_principal
from doorward.stores.protocols import Stores
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services

TOKEN_LIMIT = 256
"""Characters of a token that are read; a longer text cannot be a token of ours."""


class VoidReason(Enum):
    """Why an invitation was voided; in its event."""

    SUPERSEDED = "superseded"
    PRINCIPAL_SUSPENDED = "principal-suspended"
    PRINCIPAL_REMOVED = "principal-removed"
    WITHDRAWN = "withdrawn"


def list_open(services: Services, principal_name: str | None = None) -> list[tuple[InvitationRecord, str]]:
    """Return the open invitations and their principals' names, oldest first; `NotFound` (`principal-unknown`)."""
    now = services.clock.now()
    with services.work.read() as stores:
        of = require_principal(stores, principal_name).id if principal_name else None
        found = []
        for record in stores.invitations.open_at(now, of):
            if has_lost_its_device(stores, record):
                continue
            principal = stores.directory.get(record.principal_id)
            found.append((record, principal.name if principal else ""))
        return found


def withdraw(services: Services, invitation_id: str, *, actor: str, made_by: str = "") -> InvitationRecord:
    """Void an invitation for good, with its event; an invitation that was voided before is returned unchanged.

    Args:
        services: the ports of this process.
        invitation_id: id of the invitation.
        actor: who withdraws it.
        made_by: find only invitations that this principal made for another device of its own; empty finds all.

    Raises:
        NotFound: `invitation-unknown`.
        RequestRefused: `invitation-not-open`: it was used or has expired; nothing changes.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        record = stores.invitations.get(invitation_id)
        principal = stores.directory.get(record.principal_id) if record else None
        hidden = made_by and record and not (record.principal_id == made_by and is_for_own_device(record))
        if record is None or principal is None or hidden:
            raise NotFound(
                "invitation-unknown",
                f"there is no invitation {printable(invitation_id)[:64]}",
                hint="`doorward invitation list` shows the open invitations",
            )
        if record.voided_at is not None:  # it is voided already
            return record
        # While the certificate that made it is on hold, it cannot be used, but it can be withdrawn: a release reopens it.
        why = _find_end(record, now)
        if why:
            raise RequestRefused(
                "invitation-not-open",
                f"this link no longer works: {why}",
                hint="if it was used for a certificate: `doorward cert list --of NAME`, `doorward cert revoke ID`",
            )
        _void(services, stores, record, principal, VoidReason.WITHDRAWN, actor=actor, now=now)
    return replace(record, voided_at=now)


def void_open(
    services: Services, stores: Stores, principal: Principal, reason: VoidReason, *, actor: str, now: datetime
) -> tuple[str, ...]:
    """Void every open invitation of a principal in the caller's transaction; return the notes for the operator."""
    found = stores.invitations.open_at(now, principal.id)
    count = sum(_void(services, stores, one, principal, reason, actor=actor, now=now) for one in found)
    return (f"{count} open link{'s were' if count != 1 else ' was'} withdrawn",) if count else ()


def void_own(services: Services, stores: Stores, principal_id: str, *, actor: str, now: datetime) -> None:
    """Void the open invitation that a person made for another device, in the caller's transaction.

    A thief who had one of the person's factors may have made it. An administrator's invitation stays open.
    """
    principal = stores.directory.get(principal_id)
    for one in stores.invitations.open_at(now, principal_id) if principal else ():
        if principal and is_for_own_device(one):
            _void(services, stores, one, principal, VoidReason.WITHDRAWN, actor=actor, now=now)


def find_fault(stores: Stores, invitation: InvitationRecord, now: datetime) -> str:
    """Return the reason code why an invitation cannot be redeemed; empty if it can."""
    if has_lost_its_device(stores, invitation):
        return "invitation-voided"
    return _find_end(invitation, now)


def _find_end(invitation: InvitationRecord, now: datetime) -> str:
    """Return the reason code why an invitation is over for good; empty if it is not."""
    if invitation.used_at is not None:
        return "invitation-used"
    if invitation.voided_at is not None:
        return "invitation-voided"
    return "invitation-expired" if now >= invitation.expires_at else ""


def has_lost_its_device(stores: Stores, invitation: InvitationRecord) -> bool:
    """Say whether the device that made an open invitation has a certificate that is revoked, on hold or unknown."""
    if invitation.used_at is not None or not invitation.made_from:
        return False
    certificate = stores.certificates.get(invitation.made_from)
    return certificate is None or certificate.state is not CertificateState.VALID


def is_for_own_device(invitation: InvitationRecord) -> bool:
    """Say whether a person made it for another device."""
    return bool(invitation.made_from)


def hash_token(token: str) -> str:
    """Return the stored form of a token: its SHA-256, lower-case hex."""
    return hashlib.sha256(token[:TOKEN_LIMIT].encode("utf-8", "surrogatepass")).hexdigest()


def _void(
    services: Services,
    stores: Stores,
    invitation: InvitationRecord,
    principal: Principal,
    reason: VoidReason,
    *,
    actor: str,
    now: datetime,
) -> bool:
    """Void one invitation with its event; False, and no event, if it was used or voided already."""
    if not stores.invitations.void(invitation.id, now):
        return False
    event = new_event(
        services,
        EventType.INVITATION_VOIDED,
        actor=actor,
        at=now,
        data={"invitation": invitation.id, "principal": principal.id, "reason": reason.value},
        personal={"name": principal.name},
    )
    stores.outbox.add(event)
    return True
