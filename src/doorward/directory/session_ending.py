"""Ending the sessions of a principal, and all else that lets a second factor count: within another change.

Not here: signing out (`sessions`) and whom it concerns besides (`principals`, `removal`).
"""

from __future__ import annotations

from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import Principal
from doorward.core.names import PORTAL_APPLICATION
from doorward.stores.events import write_event
from doorward.stores.protocols import Stores
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
    """End them within a transaction that notes the change of the principal itself; return how many were open.

    The portal's sessions of the principal end as well: otherwise the next person at the same browser would be let in
    without a factor.
    """
    ended = stores.sessions.end_all(principal_id, now, application_id or None)
    if application_id:
        stores.sessions.end_all(principal_id, now, PORTAL_APPLICATION)
    stores.epochs.raise_for(principal_id, application_id)
    if not application_id:
        stores.session_codes.remove_all(principal_id)
        stores.step_ups.remove_all(principal_id)
    if ended:
        event = write_event(
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


def remove_factors(
    services: Services, stores: Stores, principal: Principal, *, reason: str, actor: str, now: datetime
) -> int:
    """Remove every second factor of a principal and void its rights to enrol one; return how many factors there were.

    The caller ends the sessions, and notes the change of the principal.
    """
    removed = stores.factors.remove_all(principal.id)
    stores.enrolment_rights.void_all(principal.id, now)
    if removed:
        event = write_event(
            services,
            EventType.FACTOR_RESET,
            actor=actor,
            data={"principal": principal.id, "number": removed, "reason": reason},
            personal={"name": principal.name},
            at=now,
        )
        stores.outbox.add(event)
    return removed
