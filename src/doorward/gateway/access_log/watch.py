"""Whether Envoy can write its access log: a full device stops no request, and loses every line.

Not here: reading the log (ingest). Envoy says nothing of it but a counter, `filesystem.write_failed`,
one for each process; if it grows, lines were lost, so the time is put on record as a gap, at most once
a minute, and `status` says it for as long.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from doorward.core.errors import DoorwardError
from doorward.core.ports import Clock

COUNTER = "filesystem.write_failed"
GAP_REASON = "log-write-failed"
EVERY = timedelta(minutes=1)


class EnvoyStatistics(Protocol):
    """The admin interface of an Envoy, as far as counters go."""

    def statistics(self, pattern: str = "") -> dict[str, int]:
        """Return counters by name; raise `Unavailable` where it does not answer."""
        ...


class LogWatch:
    """Looks once a heartbeat; for one thread, `trouble` for any.

    Args:
        running: the admin interface of the running Envoy with its epoch, None while none runs.
        note_gap: puts on record that requests of an interval may be missing.
        clock: now.
    """

    def __init__(
        self,
        running: Callable[[], tuple[EnvoyStatistics, int] | None],
        note_gap: Callable[[datetime, datetime, str], None],
        clock: Clock,
    ) -> None:
        self._running, self._note_gap, self._clock = running, note_gap, clock
        self._epoch, self._failed = -1, 0
        self._looked_at = clock.now()
        self._noted_at: datetime | None = None
        self._gap_from: datetime | None = None

    def look(self) -> None:
        """Ask for the counter; record a gap where it grew.

        Raises:
            Unavailable: the record cannot be written; what grew is recorded later.
        """
        now, found = self._clock.now(), self._running()
        if found is not None:
            admin, epoch = found
            try:
                failed = admin.statistics(f"^{COUNTER}$").get(COUNTER, 0)
            except DoorwardError:
                return  # an Envoy that does not answer is the supervisor's business
            if failed > (self._failed if epoch == self._epoch else 0) and self._gap_from is None:
                self._gap_from = self._looked_at
            self._epoch, self._failed = epoch, failed
        self._looked_at = now
        if self._gap_from is not None and (self._noted_at is None or now - self._noted_at >= EVERY):
            self._note_gap(self._gap_from, now, GAP_REASON)
            self._gap_from, self._noted_at = None, now

    def trouble(self) -> str:
        """Return what is wrong, in a sentence; empty where all is well."""
        noted_at = self._noted_at
        lately = noted_at is not None and self._clock.now() - noted_at <= EVERY
        if self._gap_from is None and not lately:
            return ""
        return f"Envoy could not write its access log (so far {self._failed} times): is the disk full?"
