"""The job that publishes CRLs: it looks at each change, and what it looks at is usually one number.

1. If nothing has changed in the change sequence for as long as CRLs pause, no certificate was revoked or released.
2. Then only the lifetimes of CRLs can make one due, and these are looked at every ten seconds.
3. Otherwise a CRL may have to wait for the pause after the last one, and the job looks twice a second until it is settled.

Not here: when a CRL is due, and making it (`authority.status.crls`).
"""

from __future__ import annotations

from collections.abc import Callable

from doorward.authority.status.crls import CRL_PAUSE, due_crls, publish_crls, publishing_authorities
from doorward.core.errors import DoorwardError
from doorward.stores.services import Services

LIFETIME_LOOK_SECONDS = 10.0
_UNSETTLED_SECONDS = 0.5
_SETTLED_SECONDS = 2 * CRL_PAUSE.total_seconds()


class CrlJob:
    """Publishes the CRLs of every issuing authority. For one thread.

    Args:
        services: the ports.
        wait: sleeps at most so many seconds, less if a change notification arrives.
    """

    def __init__(self, services: Services, wait: Callable[[float], object]) -> None:
        self._services = services
        self._wait = wait
        self._settled = False
        self._head = -1
        self._changed_at = 0.0
        self._looked_at: float | None = None  # when every authority was looked at without a failure

    def work(self) -> bool:
        """Publish what is due; return False: the next look is after the pause.

        Raises:
            DoorwardError: the last failure, after every authority was tried.
        """
        now = self._services.clock.monotonic()
        with self._services.work.read() as stores:
            head = stores.changes.head()
        if head != self._head:
            self._head, self._changed_at = head, now
        self._settled = now - self._changed_at > _SETTLED_SECONDS
        if self._settled and self._looked_at is not None and now - self._looked_at < LIFETIME_LOOK_SECONDS:
            return False
        self._looked_at = None
        fault: DoorwardError | None = None
        for authority_id in publishing_authorities(self._services):
            try:
                if due := due_crls(self._services, self._services.clock.now(), authority_id):
                    publish_crls(self._services, due, authority_id)
            except DoorwardError as error:  # the others are still published
                fault = error
        if fault is not None:
            raise fault
        self._looked_at = now
        return False

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most so many seconds, and a shorter time while a CRL may have to be made."""
        quiet = self._settled and self._looked_at is not None
        self._wait(seconds if quiet else _UNSETTLED_SECONDS)
