"""Reporting about publications: why the newest policy is not in force, for `status`, the log and the record.

Not here: publishing (transition).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from types import MappingProxyType

import structlog

from doorward.audit.events import EventType, printable
from doorward.core.errors import DoorwardError
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.stores.events import new_event
from doorward.stores.policy_snapshot import PolicySnapshot
from doorward.stores.services import Services

REFUSED = "envoy-refused-configuration"
"""The reason in the record if Envoy refused a part of a configuration."""

_MOST_NAMED = 10
_log = structlog.get_logger("doorward.publishing")


class PublicationReport:
    """Keeps the last trouble, and records it if it is new; safe between threads.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        gate: knows which policies are in force.
    """

    def __init__(self, services: Services, gateway_id: str, gate: PolicyGate) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._gate = gate
        self._lock = threading.Lock()
        self._trouble = ""
        self._refusals: Mapping[str, str] = {}
        self._closed: frozenset[str] = frozenset()

    def trouble(self) -> str:
        """Return why the newest policy is not in force, or the next will not be; empty if all is well."""
        with self._lock:
            return "; ".join(one for one in (self._trouble, *self._refusal_sentences()) if one)

    def refusals(self) -> Mapping[str, str]:
        """Return what Envoy refused, by the application's name, each with Envoy's words."""
        with self._lock:
            return dict(self._refusals)

    def succeeded(
        self,
        snapshot: PolicySnapshot,
        *,
        lacking: str = "",
        refusals: Mapping[str, str] = MappingProxyType({}),
        closed: Collection[str] = (),
    ) -> None:
        """Note that a policy is in force, and what is not; record refusals that are new.

        Args:
            snapshot: the policy.
            lacking: doors that lack a certificate.
            refusals: what Envoy refused, by the application's name, each with Envoy's words.
            closed: names of the applications that are closed because of it.
        """
        with self._lock:
            self._trouble = f"no server certificate was issued yet for: {lacking}" if lacking else ""
            known, self._refusals, self._closed = self._refusals, dict(refusals), frozenset(closed)
            new = {name: words for name, words in refusals.items() if known.get(name) != words}
        for name, words in sorted(new.items()):
            _log.error("Envoy refused a part of the configuration", application=name, why=words)
            self._record_refusal(snapshot.revision, REFUSED, f"{name}: {words}")

    def refused(self, snapshot: PolicySnapshot, error: DoorwardError) -> None:
        """Report why a revision cannot come into force until it is corrected."""
        closed = self._gate.closed_applications(snapshot)
        named = ", ".join(closed[:_MOST_NAMED]) + (" and more" if len(closed) > _MOST_NAMED else "")
        self.failed(
            error,
            f"revision {snapshot.revision} is refused, and the applications that it changes admit no new connections"
            + (f" ({named})" if named else "")
            + f"; the other applications are as in revision {self._gate.revision}: {error.detail}"
            + (f" ({error.hint})" if error.hint else ""),
        )

    def failed(self, error: DoorwardError, text: str = "") -> None:
        """Report that a publication failed, and record it if that is new; `text` is for `status`."""
        text = text or error.detail
        _log.error(
            "the new policy could not be published",
            code=error.code,
            detail=error.detail,
        )
        with self._lock:
            repeated, self._trouble = self._trouble == text, text
        if not repeated:
            self._record_refusal(max(0, self._gate.revision), error.code, error.detail)

    def record(self, kind: EventType, data: Mapping[str, str | int]) -> None:
        """Record an event of this gateway; if that fails, log it and go on."""
        event = new_event(self._services, kind, actor="system", data={"gateway": self._gateway_id, **data})
        try:
            self._services.work.record([event])
        except DoorwardError as error:
            _log.error("the event of a publication could not be recorded", code=error.code)

    def _record_refusal(self, revision: int, reason: str, detail: str) -> None:
        self.record(
            EventType.GATEWAY_ROLLED_BACK,
            {"revision": revision, "reason": reason, "detail": printable(detail[:500])},
        )

    def _refusal_sentences(self) -> list[str]:
        return [
            f"Envoy refused the configuration of {name}"
            + (", which is closed until it is corrected" if name in self._closed else "")
            + f": {words}"
            for name, words in sorted(self._refusals.items())[:_MOST_NAMED]
        ]
