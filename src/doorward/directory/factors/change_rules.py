"""When a person may change their factors: with an enrolment ticket, or after a fresh check of a factor.

The check must be at least as strong as the strongest factor that the person has, and as the one that is added. So a thief
with a certificate and a stolen password can neither remove the passkey nor add another one.

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
    """Return the ticket that allows a factor of that kind; None if a fresh check allows it.

    Args:
        stores: of a transaction.
        caller: who adds the factor.
        kind: of the factor.
        shown: the factors shown in the session at the portal.
        token: of an administrator's link; empty if there is none.
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
    """Return the caller's principal from the directory, if it is an active person."""
    principal = stores.directory.get(caller.principal_id)
    if principal is None:
        raise refuse_closed()
    return require_person(principal)


def kinds_of(stores: Stores, principal_id: str) -> set[FactorKind]:
    """Return the kinds of factors that a person has, without recovery codes."""
    return {one.kind for one in stores.factors.of_principal(principal_id)} - {FactorKind.RECOVERY}


def require_fresh(
    enrolled: Collection[FactorKind],
    shown: ShownFactors,
    now: datetime,
    *,
    added: FactorKind = FactorKind.RECOVERY,
) -> None:
    """Refuse a change of factors without a strong enough check in the last five minutes.

    Args:
        enrolled: the kinds that the person has.
        shown: the factors shown in the session.
        now: aware, UTC.
        added: the kind that is added; if none is added, the weakest kind.

    Raises:
        RequestRefused: `factor-check-needed`: show `needed` first; `factor-too-weak`: none of the person's factors is as
            strong as the added one, so that an administrator's link is needed.
    """
    needed = strongest_of([*enrolled, added]) or added
    enough = tuple(kind for kind in SESSION_FACTORS if is_as_strong(kind, needed))
    if shown.is_fresh(enough, FRESH, now):
        return
    if not any(kind in enrolled for kind in enough):
        raise RequestRefused(
            "factor-too-weak",
            f"adding a {needed.value} needs a factor that is as strong, and you have none",
            hint=_INVITE,
            needed=needed.value,
        )
    raise RequestRefused(
        "factor-check-needed",
        "this needs a new check of your strongest factor",
        hint=f"show it again; the check is valid for {FRESH.seconds // 60} minutes",
        needed=needed.value,
    )


def _refuse_weak(strongest: FactorKind, kind: FactorKind) -> RequestRefused:
    return RequestRefused(
        "factor-too-weak",
        f"this recovery code allows at most a {strongest.value}, not a {kind.value}",
        hint=_INVITE,
        needed=kind.value,
    )
