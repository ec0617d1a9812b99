"""When certificates were last seen at this door, for the inventory: noted in batches, and never on the path of a connection.

Once a minute, one transaction notes the certificates that are connected, or were since the last minute. A certificate
is noted again only after five minutes, so that ten thousand open connections do not write ten thousand rows each
minute. If the database is away, the notes are dropped: nothing is decided by them, and the next minute has new ones.
A note is no change: it has no number in the change sequence, so that no gateway acts on it.

Not here: the store (`stores.fact_protocols`), the inventory (`authority.inventory`).
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import structlog

from doorward.core.errors import DoorwardError
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.stores.fact_protocols import Sighting
from doorward.stores.services import Services

SECONDS = 60.0
AGAIN_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 1000
"""Certificates in one transaction: it holds the write lock for some hundredths of a second, and a withdrawal waits for it."""

MOST_WAITING = 10_000
"""Certificates that wait for a later transaction; further ones are dropped."""

_log = structlog.get_logger("doorward.gateway")


class LastSeen:
    """Notes for one gateway; only its own thread calls it.

    Args:
        services: the use cases' ports.
        connections: of this gateway.
    """

    def __init__(self, services: Services, connections: ConnectionRegistry) -> None:
        self._services = services
        self._connections = connections
        self._waiting: dict[str, str] = {}  # certificate -> application
        self._noted: dict[str, datetime] = {}

    def run(self, stop: threading.Event, *, seconds: float = SECONDS) -> None:
        """Note once in so many seconds, until `stop` is set."""
        while not stop.wait(seconds):
            try:
                self.note()
            except Exception:  # noqa: BLE001  the next minute tries again
                _log.exception("it could not be noted which certificates were seen")

    def note(self) -> int:
        """Note the certificates that were seen since the last call and are due; return how many were written."""
        now = self._services.clock.now()
        seen = self._waiting | self._connections.take_seen()
        # A clock that was put back must not keep a certificate from being noted.
        self._noted = {one: at for one, at in self._noted.items() if timedelta(0) <= now - at < AGAIN_AFTER}
        due = [one for one in seen if one not in self._noted]
        batch, later = due[:MOST_AT_ONCE], due[MOST_AT_ONCE:MOST_WAITING]
        self._waiting = {one: seen[one] for one in later}
        if not batch:
            return 0
        sightings = [Sighting(certificate_id=one, at=now, application_id=seen[one]) for one in batch]
        try:
            with self._services.work.change(traffic=True) as stores:
                count = stores.facts.see(sightings, again_after=AGAIN_AFTER)
        except DoorwardError as error:
            _log.info("it was not noted which certificates were seen", code=error.code)
            return 0
        self._noted |= dict.fromkeys(batch, now)
        return count
