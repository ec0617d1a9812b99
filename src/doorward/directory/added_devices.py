"""Adding a device: at the portal, a person makes an invitation for another device of their own.

    require_may_add           refuse if this caller may not add a device now
    invite_own_device         make the invitation, and void the earlier one that is open
    withdraw_own_invitation   void the invitation

A certificate alone is not enough, because a thief of the device has it. The person must have shown the strongest enrolled
factor within the last five minutes, as for a change of factors; a person without a factor cannot add a device. The
invitation is bound to the certificate that made it: it cannot be used after that certificate is revoked or put on hold. It is voided if all
sessions of the person end, for example because a factor was removed.
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
from doorward.directory.invitations import is_for_own_device, withdraw
from doorward.directory.inviting import Invitation, invite_within
from doorward.directory.own_certificates import require_room
from doorward.stores.protocols import Stores
from doorward.stores.records import InvitationRecord
from doorward.stores.services import Services

LIFETIME = timedelta(minutes=15)
"""Long enough to open the link on the other device; the link is not meant to be sent by mail."""

MOST_LINKS = 20
"""Links that a person may make and leave unused in a day: each is a row for ever, and one check of a factor allows many."""

_DAY = timedelta(days=1)


def require_may_add(stores: Stores, caller: Caller, *, shown: ShownFactors, now: datetime) -> Principal:
    """Return the caller's principal, if the caller may add a device now.

    Args:
        stores: of a transaction.
        caller: with a judged certificate.
        shown: the factors shown in the caller's session at the portal.
        now: aware, UTC.

    Raises:
        RequestRefused: `device-needs-factor`: no factor is enrolled; `factor-check-needed`, as `require_fresh`;
            `certificates-too-many`; `device-links-too-many`; `factors-for-persons`, `principal-suspended`.
    """
    person = require_owner(stores, caller)
    enrolled = kinds_of(stores, person.id)
    if not enrolled:
        raise RequestRefused(
            "device-needs-factor",
            "you have no second factor, and a certificate alone cannot add a device",
            hint="add a second factor first",
        )
    require_fresh(enrolled, shown, now)
    require_room(stores, person.id, now)
    _require_few_links(stores, person.id, now)
    return person


def _require_few_links(stores: Stores, principal_id: str, now: datetime) -> None:
    unused = [
        one for one in stores.invitations.unused_since(principal_id, now - _DAY) if is_for_own_device(one)
    ]
    if len(unused) >= MOST_LINKS:
        raise RequestRefused(
            "device-links-too-many",
            f"you made {len(unused)} links for other devices in the last 24 hours and used none, and the limit is {MOST_LINKS}",
            hint="wait until tomorrow, or ask an administrator: `doorward invite NAME`",
            retry_after_seconds=round((unused[0].created_at + _DAY - now).total_seconds()),
        )


def invite_own_device(services: Services, caller: Caller, *, shown: ShownFactors) -> Invitation:
    """Make an invitation for another device of the caller; an open one is voided in the same transaction.

    Args:
        services: the ports of this process.
        caller: with a judged certificate.
        shown: the factors shown in the caller's session at the portal.

    Raises:
        RequestRefused: as `require_may_add`; `principal-of-a-partner`.
    """
    with services.work.change(traffic=True) as stores:
        person = require_may_add(stores, caller, shown=shown, now=services.clock.now())
        return invite_within(
            services, stores, person, lifetime=LIFETIME, actor=person.id, made_from=caller.certificate_id
        )


def withdraw_own_invitation(services: Services, caller: Caller, invitation_id: str) -> InvitationRecord:
    """Void an invitation that the caller made; raises as `withdraw`, and finds no invitation made by anybody else."""
    return withdraw(services, invitation_id, actor=caller.principal_id, made_by=caller.principal_id)
