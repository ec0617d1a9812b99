"""Ending live connections: condemn them in the registry, cut them, record the cuts.

Not here: which connections must end (follower, deadlines, reconciler) and the mechanism (cutter). The cut comes first
and the record follows, because a cut that waits for the disk would leave the connection open meanwhile. If a cut
fails, the connection stays condemned, and the reconciler tries again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

import structlog

from doorward.audit.counting import source_key
from doorward.audit.events import Event, EventType
from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.access_log.counting import ConnectionEventLimiter
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.cutter import CutResult, Cutter
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts
from doorward.stores.events import new_event
from doorward.stores.services import Services

_log = structlog.get_logger("doorward.cutter")


class EndReason(Enum):
    """Why a live connection was ended."""

    AUTHORITY_WITHDRAWN = "authority-withdrawn"
    AUTHORITY_CHANGED = "authority-changed"
    DEADLINE = "deadline"
    UNKNOWN = "unknown-connection"
    ANOTHER_CERTIFICATE = "another-certificate"


MOST_UNRECORDED = 20_000
"""Events that are kept while the record cannot be written; about 20 MB."""


class ConnectionEnder:
    """Ends live connections of one gateway; safe between threads.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        connections: the registry.
        cutter: ends sockets.
        later: called if there is something to `record`, so that another thread does it; None
            records before `end` returns.
        event_limiter: decides which cuts of unknown sockets are recorded singly.
    """

    def __init__(
        self,
        services: Services,
        gateway_id: str,
        connections: ConnectionRegistry,
        cutter: Cutter,
        *,
        later: Callable[[], None] | None = None,
        event_limiter: ConnectionEventLimiter | None = None,
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._connections = connections
        self._cutter = cutter
        self._later = later or self.record
        self._event_limiter = event_limiter or ConnectionEventLimiter(services.clock)
        self._recording = threading.Lock()
        self._unrecorded: deque[Event] = deque()

    def end(self, wanted: Sequence[LiveConnection], reason: EndReason) -> list[CutResult]:
        """End these connections at once; connections that are no longer live are left out."""
        condemned = [one for one in wanted if self._connections.condemn(one.cookie) is not None]
        if not condemned:
            return []
        results = self._cutter.cut_many(condemned)
        for result in results:
            if result.ended:
                self._connections.forget(result.cookie)
            else:
                _log.error(
                    "a connection could not be cut and will be tried again", outcome=result.outcome.value
                )
        for connection, result in zip(condemned, results, strict=True):
            if not connection.anonymous:  # peers without a good certificate must not fill the record
                self._unrecorded.append(self._event(connection, reason, result))
        self._later()
        return results

    def note_unknown_socket(self, facts: SocketFacts, result: CutResult) -> None:
        """Record that a socket of no admitted connection was cut, or could not be cut."""
        if not self._event_limiter.admit(EventType.CONNECTION_CUT, source_key(facts.remote.host)):
            return
        self._unrecorded.append(
            new_event(
                self._services,
                EventType.CONNECTION_CUT,
                actor="system",
                data={
                    "connection": f"socket-{facts.cookie}",  # Envoy's own number is not known
                    "gateway": self._gateway_id,
                    "reason": EndReason.UNKNOWN.value,
                    "means": _means(result),
                },
                personal={"source": facts.remote.host},
            )
        )
        self._later()

    def record(self) -> None:
        """Make the events of cuts since the last call durable; if that fails, they wait for the next call."""
        with self._recording:
            events = list(self._unrecorded)
            done = len(events)
            try:
                self._services.work.record(events)
            except DoorwardError as error:
                # The withdrawal is enforced; only its record is missing.
                _log.error("cut connections could not be recorded", code=error.code, count=done)
                if isinstance(error, Unavailable):
                    done -= MOST_UNRECORDED
            for _ in range(done):
                self._unrecorded.popleft()

    def _event(self, connection: LiveConnection, reason: EndReason, result: CutResult) -> Event:
        return new_event(
            self._services,
            EventType.CONNECTION_CUT,
            actor="system",
            data={
                "connection": connection.connection_id,
                "gateway": self._gateway_id,
                "reason": reason.value,
                "application": connection.application_id,
                "certificate": connection.certificate_id,
                "principal": connection.principal_id,
                "means": _means(result),
                "revision": connection.revision,
            },
            personal={"source": connection.remote.host},
        )


def _means(result: CutResult) -> str:
    return f"{result.mechanism.value}:{result.outcome.value}"
