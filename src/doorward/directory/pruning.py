"""What is kept of sessions and of what led to them goes after its time.

Not here: session keys (`session_keys`), and the evidence, which tells of all of it for longer.
"""

from __future__ import annotations

from datetime import timedelta

from doorward.factors.throttling import FORGOTTEN_AFTER
from doorward.stores.services import Services

KEPT = timedelta(days=30)
"""How long an ended session and an expired right to enrol stay to be looked at."""


THROTTLES_KEPT = FORGOTTEN_AFTER
"""As long as a count of failed tries says something: a locked certificate stays locked for so long."""


def prune_expired(services: Services) -> int:
    """Remove what is past, in one transaction; return how many rows went.

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
