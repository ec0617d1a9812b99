"""Ending connections on purpose: condemn, cut, and put it on record.

Not here: who must end (follower, deadlines, reconciler) and the mechanism (cutter). Withdrawals go
first and at once; the record follows within the same call, because a cut that waits for the disk
would leave the door open meanwhile. A cut that fails stays condemned, and the reconciler repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import structlog

from doorward.audit.events import Event, EventType
from doorward.authority.journal import write_event
from doorward.authority.services import Services
from doorward.core.errors import DoorwardError
from doorward.gateway.connections import Connections, LiveConnection
from doorward.gateway.cutter import CutResult, Cutter

_log = structlog.get_logger("doorward.cutter")


class EndReason(Enum):
    """Why a live connection was ended."""

    AUTHORITY_WITHDRAWN = "authority-withdrawn"
    AUTHORITY_CHANGED = "authority-changed"
    DEADLINE = "deadline"


class Ending:
    """Ends live connections of one gateway; safe between threads."""

    def __init__(self, services: Services, gateway_id: str, connections: Connections, cutter: Cutter) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._connections = connections
        self._cutter = cutter

    def end(self, wanted: Sequence[LiveConnection], reason: EndReason) -> list[CutResult]:
        """End these connections at once; those that are no longer live are left out."""
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
        self._record(
            [
                self._event(connection, reason, result)
                for connection, result in zip(condemned, results, strict=True)
            ]
        )
        return results

    def _event(self, connection: LiveConnection, reason: EndReason, result: CutResult) -> Event:
        return write_event(
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
                "means": f"{result.mechanism.value}:{result.outcome.value}",
                "revision": connection.revision,
            },
            personal={"source": connection.remote.host},
        )

    def _record(self, events: list[Event]) -> None:
        try:
            self._services.work.record(events)
        except DoorwardError as error:
            # The withdrawal was enforced; what is missing is its record, and the log of the process has it.
            _log.error("cut connections could not be recorded", code=error.code, count=len(events))
