"""Removing old rows: codes, step-ups, sessions, enrolment tickets and counts of failed tries.

Not here: session keys (`session_keys`), and the evidence log, which keeps the events for longer.
"""

from __future__ import annotations

from datetime import timedelta

from doorward.factors.throttling import FORGOTTEN_AFTER
from doorward.stores.services import Services

KEPT = timedelta(days=30)
"""How long ended sessions and expired enrolment tickets are kept."""


THROTTLES_KEPT = FORGOTTEN_AFTER
"""A certificate that is locked after failed tries stays locked for this time."""


def prune_expired(services: Services) -> int:
    """Remove the old rows in one transaction; return how many there were.

    Raises:
        Unavailable: as `UnitOfWork.change`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        return (
            stores.session_codes.prune(now)
            + stores.step_ups.prune(now)
            + stores.sessions.prune(now - KEPT)
            + stores.enrolment_tickets.prune(now - KEPT)
            + stores.throttles.prune(now - THROTTLES_KEPT)
        )
