"""Telling the control plane how far this gateway enforces the changes: when there is news, and with each heartbeat.

Apart from the follower, in a thread of its own: the next withdrawal must not wait for a disk.
Not here: what is enforced (follower, publishing), and who waits for it (`authority.gateways`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from doorward.authority.gateways import confirm
from doorward.core.errors import DoorwardError
from doorward.stores.services import Services

_log = structlog.get_logger("doorward.gateway")


class ConfirmationSender:
    """Confirms for one gateway; safe between threads.

    Args:
        services: the use cases' ports.
        gateway_id: this gateway.
        record: makes durable what was ended; called before each confirmation.
        reached: the number of the change sequence up to which everything is enforced; None if the database was
            put back to an older state, so that a number would speak of other changes.
        status: how the gateway is, as JSON.
    """

    def __init__(
        self,
        services: Services,
        gateway_id: str,
        *,
        record: Callable[[], None],
        reached: Callable[[], int | None],
        status: Callable[[], str],
    ) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._record = record
        self._reached = reached
        self._status = status
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._confirmed = -1

    def wake(self) -> None:
        """Say that there is something to record or to confirm; returns at once."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Settle whenever there is news, until `stop` is set and `wake` was called."""
        while not stop.is_set():
            self._news.wait()
            self._news.clear()
            try:
                self.settle()
            except Exception:  # noqa: BLE001  the heartbeat settles too, only later
                _log.exception("settling failed")

    def settle(self, *, beat: bool = False) -> None:
        """Record, and confirm what is enforced if that is more than before, or if the gateway shows that it lives."""
        with self._lock:
            self._record()
            reached = self._reached()
            before = self._confirmed
            self._confirmed = max(before, reached) if reached is not None else 0
            if self._confirmed != before or beat:
                try:
                    confirm(self._services, self._gateway_id, self._confirmed, self._status())
                except DoorwardError as error:  # the next heartbeat repeats it
                    _log.error("a confirmation failed", code=error.code)
