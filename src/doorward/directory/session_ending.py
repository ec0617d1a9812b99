"""Ending the sessions of a principal, with their codes and step-ups, in the transaction of another change.

Not here: signing out (`sessions`), suspending and removing a principal (`principals`, `removal`).
"""

from __future__ import annotations

from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import TENANT, Principal
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.factor_losses import FactorLoss, note_loss
from doorward.directory.invitations import is_for_own_device, void_own
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import Public, new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services


def end_sessions(
    services: Services,
    stores: Stores,
    principal_id: str,
    *,
    application_id: str = "",
    reason: str,
    actor: str,
    now: datetime,
) -> int:
    """End the sessions of a principal in the caller's transaction, which notes the change; return how many were open.

    The principal's sessions at the portal end as well, and unused codes are removed: otherwise the next person at the same
    browser would need no factor. If the sessions end everywhere, an open link for another device of the person ends too: a
    thief with a session or factor of the person may have made it.
    """
    ended = stores.sessions.end_all(principal_id, now, application_id or None)
    if application_id:
        stores.sessions.end_all(principal_id, now, PORTAL_APPLICATION)
    stores.epochs.raise_for(principal_id, application_id)
    stores.session_codes.remove_all(principal_id)
    if not application_id:
        stores.step_ups.remove_all(principal_id)
        void_own(services, stores, principal_id, actor=actor, now=now)
    if ended:
        event = new_event(
            services,
            EventType.SESSION_ENDED,
            actor=actor,
            data={
                "reason": reason,
                "principal": principal_id,
                "application": application_id,
                "number": ended,
            },
            at=now,
        )
        stores.outbox.add(event)
    return ended


def end_every_session(
    services: Services, stores: Stores, *, reason: str, actor: str, now: datetime
) -> dict[str, int]:
    """End all sessions of all principals in the caller's transaction; return how many were open, by principal.

    The open links that people made for other devices end too.
    A change is noted for each of these principals, and one for all: the epoch of every principal is another one now. The new
    epoch was never used before, even if the database was restored from a backup.
    """
    ended: dict[str, int] = {}
    for one in stores.sessions.open_at(now):
        ended[one.principal_id] = ended.get(one.principal_id, 0) + 1
    stores.sessions.end_every(now)
    stores.epochs.raise_all(now)
    makers = {one.principal_id for one in stores.invitations.open_at(now) if is_for_own_device(one)}
    for principal_id in sorted(makers):
        void_own(services, stores, principal_id, actor=actor, now=now)
    for principal_id, number in ended.items():
        stores.session_codes.remove_all(principal_id)
        stores.step_ups.remove_all(principal_id)
        data: Public = {"principal": principal_id, "reason": reason, "number": number}
        stores.outbox.add(new_event(services, EventType.SESSION_ENDED, actor=actor, data=data, at=now))
        stores.changes.note(ChangeKind.PRINCIPAL, principal_id, now)
    stores.changes.note(ChangeKind.SESSION_KEY, TENANT, now)
    return ended


def end_everyone(services: Services, *, reason: str, actor: str) -> ChangeResult[int]:
    """End all sessions of all principals; return how many were open."""
    now = services.clock.now()
    with services.work.change() as stores:
        ended = end_every_session(services, stores, reason=reason, actor=actor, now=now)
        seq = stores.changes.head()
    return ChangeResult(value=sum(ended.values()), seq=seq)


def withdraw_after_restore(services: Services, *, actor: str) -> int:
    """End all sessions and void all enrolment tickets after a restore from a backup; return how many sessions ended.

    In the backup, sessions are open again that were ended later, and tickets that were used later.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        ended = end_every_session(services, stores, reason="database-restored", actor=actor, now=now)
        stores.enrolment_tickets.void_every(now)
    return sum(ended.values())


def remove_factors(
    services: Services, stores: Stores, principal: Principal, *, reason: str, actor: str, now: datetime
) -> int:
    """Remove every second factor of a principal and void its enrolment tickets; return how many factors there were.

    The calling function ends the sessions and notes the change of the principal.
    """
    removed = stores.factors.remove_all(principal.id)
    stores.enrolment_tickets.void_all(principal.id, now)
    if removed:
        event = new_event(
            services,
            EventType.FACTOR_RESET,
            actor=actor,
            data={"principal": principal.id, "number": removed, "reason": reason},
            personal={"name": principal.name},
            at=now,
        )
        stores.outbox.add(event)
        note_loss(stores, principal.id, FactorLoss(at=now, event_id=event.id, by_self=actor == principal.id))
    return removed
