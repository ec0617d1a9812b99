"""A device that a person adds from another one: an invitation for the person's own name, made at the portal.

    require_may_add   says whether this caller may do it now
    invite_own_device        makes the invitation, and voids the one that was open
    withdraw_own_invitation      takes it back

A certificate alone never makes another one, because a thief of the device has it. So the person shows the strongest
enrolled factor within the last five minutes, as for a change of factors; a person without a factor adds no device. The
invitation is bound to the certificate from which it was made: it is worth nothing once that one is revoked or on hold.
Not here: redeeming it (`inviting.InvitationClaim`), the page (web.portal.add_device).
Standard: docs/design/0074.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from doorward.core.entities import Principal
from doorward.core.errors import RequestRefused
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factors.change_rules import kinds_of, require_fresh, require_owner
from doorward.directory.invitations import withdraw
from doorward.directory.inviting import Invitation, invite_within
from doorward.directory.own_certificates import require_room
from doorward.stores.protocols import Stores
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services

LIFETIME = timedelta(minutes=15)
"""Long enough to take the other device in hand; the link is not meant to be sent."""


def require_may_add(stores: Stores, caller: Caller, *, shown: ShownFactors, now: datetime) -> Principal:
    """Return the caller as the directory has it, if the caller may add a device now.

    Args:
        stores: of a transaction.
        caller: who comes, with a judged certificate.
        shown: what the caller's session at the portal has shown.
        now: aware, UTC.

    Raises:
        RequestRefused: `device-needs-factor`: no factor is enrolled; `factor-check-needed`, as `require_fresh`;
            `certificates-too-many`; `factors-for-persons`, `principal-suspended`.
    """
    person = require_owner(stores, caller)
    enrolled = kinds_of(stores, person.id)
    if not enrolled:
        raise RequestRefused(
            "device-needs-factor",
            "you have no second factor, and a certificate alone adds no other device",
            hint="add a second factor first",
        )
    require_fresh(enrolled, shown, now)
    require_room(stores, person.id, now)
    return person


def invite_own_device(services: Services, caller: Caller, *, shown: ShownFactors) -> Invitation:
    """Make the caller an invitation for another device; one that was open is voided in the same transaction.

    Args:
        services: the ports of this process.
        caller: who comes, with a judged certificate.
        shown: what the caller's session at the portal has shown.

    Raises:
        RequestRefused: as `require_may_add`; `principal-of-a-partner`.
    """
    with services.work.change(traffic=True) as stores:
        person = require_may_add(stores, caller, shown=shown, now=services.clock.now())
        return invite_within(
            services, stores, person, lifetime=LIFETIME, actor=person.id, made_from=caller.certificate_id
        )


def withdraw_own_invitation(services: Services, caller: Caller, invitation_id: str) -> InvitationRecord:
    """Void an invitation that its holder made; raises as `withdraw`, also for an operator's and for another's."""
    return withdraw(services, invitation_id, actor=caller.principal_id, made_by=caller.principal_id)
