"""When a person may change their factors: with a ticket to enrol, or after a fresh check of a factor.

A fresh check has to be at least as strong as the strongest factor that the person has, or that is added. So a thief with a
certificate and a stolen password can neither remove the passkey nor add another one.

Standard: NIST SP 800-63B-4 section 4.1.2 (binding an additional authenticator).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from doorward.core.entities import Principal
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind, is_as_strong, strongest_of
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factors.enrolment_tickets import find_ticket, refuse_closed, require_person
from doorward.stores.factor_records import EnrolmentTicket
from doorward.stores.protocols import Stores

FRESH = timedelta(minutes=5)
_INVITE = "ask an administrator for a link: `doorward factor invite NAME`"


def require_ticket_or_check(
    stores: Stores, caller: Caller, kind: FactorKind, *, shown: ShownFactors, token: str, now: datetime
) -> EnrolmentTicket | None:
    """Return the ticket by which a factor of that kind may be added; None if a fresh check permits it.

    Args:
        stores: of a transaction.
        caller: who adds it.
        kind: what is added.
        shown: what the person's session at the portal has shown.
        token: of an administrator's link; empty where there is none.
        now: aware, UTC.

    Raises:
        RequestRefused: `enrolment-closed`; `factor-check-needed`, `factor-too-weak`, as `require_fresh`;
            `factors-for-persons`, `principal-suspended`.
    """
    require_owner(stores, caller)
    ticket = find_ticket(stores, caller, token, now)
    if ticket is not None:
        if not is_as_strong(ticket.strongest, kind):
            raise _refuse_weak(ticket.strongest, kind)
        return ticket
    enrolled = kinds_of(stores, caller.principal_id)
    if token or not enrolled:
        raise refuse_closed()
    require_fresh(enrolled, shown, now, added=kind)
    return None


def require_owner(stores: Stores, caller: Caller) -> Principal:
    """Return the caller as the directory has it now, if it is an active person."""
    principal = stores.directory.get(caller.principal_id)
    if principal is None:
        raise refuse_closed()
    return require_person(principal)


def kinds_of(stores: Stores, principal_id: str) -> set[FactorKind]:
    """Return the kinds that a person has; recovery codes are none."""
    return {one.kind for one in stores.factors.of_principal(principal_id)} - {FactorKind.RECOVERY}


def require_fresh(
    enrolled: Collection[FactorKind],
    shown: ShownFactors,
    now: datetime,
    *,
    added: FactorKind = FactorKind.RECOVERY,
) -> None:
    """Refuse a change of factors without a check of the last five minutes that is strong enough.

    Args:
        enrolled: what the person has.
        shown: what the session has shown.
        now: aware, UTC.
        added: what is to be added; a recovery code, the weakest, if nothing is.

    Raises:
        RequestRefused: `factor-check-needed`: show `needed` first; `factor-too-weak`: the person has nothing that is as
            strong as what is added, and needs an administrator's link.
    """
    needed = strongest_of([*enrolled, added]) or added
    enough = tuple(kind for kind in SESSION_FACTORS if is_as_strong(kind, needed))
    if shown.is_fresh(enough, FRESH, now):
        return
    if not any(kind in enrolled for kind in enough):
        raise RequestRefused(
            "factor-too-weak",
            f"none of your factors is as strong as a {needed.value} to vouch for it",
            hint=_INVITE,
            needed=needed.value,
        )
    raise RequestRefused(
        "factor-check-needed",
        "for this, show your strongest factor once more",
        hint=f"it is good for {FRESH.seconds // 60} minutes then",
        needed=needed.value,
    )


def _refuse_weak(strongest: FactorKind, kind: FactorKind) -> RequestRefused:
    return RequestRefused(
        "factor-too-weak",
        f"a recovery code gives back a {strongest.value} at most, and no {kind.value}",
        hint=_INVITE,
        needed=kind.value,
    )
