"""Recording that a connection was refused because of a connection limit: one event a minute for each principal.

Not here: counting connections (registry) and refusing them (judging). A refused client may try again at once, and
the record must not grow with its tries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from doorward.access.decision import AccessDecision, ConnectionContext
from doorward.audit.events import Event, EventType, printable
from doorward.core.entities import Reason
from doorward.stores.events import new_event
from doorward.stores.services import Services

EVERY_SECONDS = 60.0
MOST_NOTED = 10_000
"""Principals that are kept apart; if there are more, the others are not recorded for a minute."""


class ConnectionLimitRecorder:
    """Records refusals because of a principal's share of connections or a certificate's rate; safe between threads.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        record: makes one event durable before it returns.
    """

    def __init__(self, services: Services, gateway_id: str, record: Callable[[Event], None]) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._record = record
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}

    def note(self, decision: AccessDecision, context: ConnectionContext, reason: Reason) -> None:
        """Record that a connection was refused although the rules admit it, unless one was recorded within a minute."""
        principal, certificate = decision.principal, decision.certificate
        if principal is None or certificate is None or not self._is_due(principal.id):
            return
        event = new_event(
            self._services,
            EventType.CONNECTION_REFUSED,
            actor=principal.id,
            at=context.opened_at,
            data={
                "gateway": self._gateway_id,
                "connection": context.connection_id,
                "application": context.application_id,
                "reasons": [
                    *(reason.value for reason in decision.verdict.reasons),
                    reason.value,
                ],
                "revision": decision.revision,
                "certificate": certificate.id,
                "principal": principal.id,
                "partner": decision.partner_id,
            },
            personal={"source": printable(context.source_address)},
        )
        self._record(event)

    def _is_due(self, principal_id: str) -> bool:
        now = self._services.clock.monotonic()
        with self._lock:
            if len(self._noted) >= MOST_NOTED:
                self._noted = {one: at for one, at in self._noted.items() if now - at < EVERY_SECONDS}
            last = self._noted.get(principal_id)
            if (last is not None and now - last < EVERY_SECONDS) or len(self._noted) >= MOST_NOTED:
                return False
            self._noted[principal_id] = now
            return True
