"""Voiding invitations: an open link is authority that somebody may hold, and what gave it can take it back.

A principal has at most one open link: a new one voids those before it, and suspending and removing
void it too. What was voided stays so; resuming brings no link back.

Not here: making, redeeming and withdrawing one (`enrolment.invitation`), which have transactions of their own.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from doorward.audit.events import EventType
from doorward.core.entities import Principal
from doorward.stores.events import write_event
from doorward.stores.protocols import Stores
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services


class VoidReason(Enum):
    """Why an invitation was voided; in its event."""

    SUPERSEDED = "superseded"
    PRINCIPAL_SUSPENDED = "principal-suspended"
    PRINCIPAL_REMOVED = "principal-removed"
    WITHDRAWN = "withdrawn"


def void_open(
    services: Services, stores: Stores, principal: Principal, reason: VoidReason, *, actor: str, now: datetime
) -> tuple[str, ...]:
    """Void every open invitation of a principal, in the caller's transaction; return what to tell."""
    found = stores.invitations.open_at(now, principal.id)
    count = sum(void_one(services, stores, one, principal, reason, actor=actor, now=now) for one in found)
    return (f"{count} open link{'s were' if count != 1 else ' was'} withdrawn",) if count else ()


def void_one(
    services: Services,
    stores: Stores,
    invitation: InvitationRecord,
    principal: Principal,
    reason: VoidReason,
    *,
    actor: str,
    now: datetime,
) -> bool:
    """Void one invitation with its event; False, and no event, where it was used or voided already."""
    if not stores.invitations.void(invitation.id, now):
        return False
    event = write_event(
        services,
        EventType.INVITATION_VOIDED,
        actor=actor,
        at=now,
        data={"invitation": invitation.id, "principal": principal.id, "reason": reason.value},
        personal={"name": principal.name},
    )
    stores.outbox.add(event)
    return True
