"""Confirming to the control plane up to which change this gateway enforces: after each change, and with each heartbeat.

This has its own thread, apart from the follower: the next withdrawal must not wait for a disk.
Not here: which changes are enforced (follower, publishing), and the commands that wait for it (`authority.gateways`).
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
        record: makes the records of ended connections durable; called before each confirmation.
        reached: the number of the change sequence up to which everything is enforced; None if the database was
            put back to an older state, because the same number may then belong to another change.
        status: the gateway's status, as JSON.
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
        """Ask for `confirm` because there is something to record or to confirm; returns at once."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Record and confirm after each `wake`, until `stop` is set and `wake` was called."""
        while not stop.is_set():
            self._news.wait()
            self._news.clear()
            try:
                self.confirm()
            except Exception:  # noqa: BLE001  the heartbeat calls `confirm` too, two seconds later
                _log.exception(
                    "enforcement could not be recorded or confirmed; the next heartbeat tries again"
                )

    def confirm(self, *, beat: bool = False) -> None:
        """Record; then confirm if more is enforced than before, or if this is a heartbeat (`beat`)."""
        with self._lock:
            self._record()
            reached = self._reached()
            before = self._confirmed
            self._confirmed = max(before, reached) if reached is not None else 0
            if self._confirmed != before or beat:
                try:
                    confirm(self._services, self._gateway_id, self._confirmed, self._status())
                except DoorwardError as error:  # the next heartbeat repeats it
                    _log.error(
                        "a confirmation could not be stored; the next heartbeat tries again",
                        code=error.code,
                    )
