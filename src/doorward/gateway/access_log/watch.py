"""Watching whether Envoy can write its access log: on a full disk requests go on, and their lines are lost.

Not here: reading the log (ingest). Envoy reports failed writes only by a counter for each process,
`filesystem.write_failed`. If it grows, lines were lost: then the interval is recorded as a gap, at most once a
minute, and `status` reports it for a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from doorward.core.errors import DoorwardError
from doorward.core.ports import Clock
from doorward.gateway.envoy.statistics import EnvoyCounters

COUNTER = "filesystem.write_failed"
GAP_REASON = "log-write-failed"
EVERY = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(seconds=10)
PAUSES = 2000
"""After each look comes a pause of so many times the duration of the look, at most `LONGEST_PAUSE`. A look costs Envoy a
millisecond, and much more with a thousand applications, so a look at each heartbeat would cost up to a tenth of a core."""


class LogWatch:
    """Reads the counter at a heartbeat; for one thread, `trouble` for any.

    Args:
        running: the admin interface of the running Envoy with its epoch; None while none runs.
        note_gap: records that requests of an interval may be missing.
        clock: now.
    """

    def __init__(
        self,
        running: Callable[[], tuple[EnvoyCounters, int] | None],
        note_gap: Callable[[datetime, datetime, str], None],
        clock: Clock,
    ) -> None:
        self._running, self._note_gap, self._clock = running, note_gap, clock
        self._epoch, self._failed = -1, 0
        self._looked_at = clock.now()
        self._noted_at: datetime | None = None
        self._gap_from: datetime | None = None
        self._next_at = clock.monotonic()

    def resume(self, since: datetime) -> None:
        """Go on with an Envoy of an earlier gateway, which read the counter last at `since`, or up to one pause before.

        The counter's value of that time is unknown: if it is not zero now, lines may have been lost since then.
        """
        self._looked_at = min(since - LONGEST_PAUSE, self._looked_at)

    def look(self) -> None:
        """Read the counter, unless the last look is too recent; record a gap if it grew.

        Raises:
            Unavailable: the record cannot be written; the gap is recorded later.
        """
        began = self._clock.monotonic()
        if began < self._next_at:
            return
        try:
            self._look()
        finally:
            took = self._clock.monotonic() - began
            self._next_at = began + took + min(PAUSES * took, LONGEST_PAUSE.total_seconds())

    def _look(self) -> None:
        now, found = self._clock.now(), self._running()
        if found is not None:
            admin, epoch = found
            try:
                failed = admin.used_counters(f"^{COUNTER}$").get(COUNTER, 0)
            except DoorwardError:
                return  # the supervisor deals with an Envoy that does not answer
            if failed > (self._failed if epoch == self._epoch else 0) and self._gap_from is None:
                self._gap_from = self._looked_at
            self._epoch, self._failed = epoch, failed
        self._looked_at = now
        if self._gap_from is not None and (self._noted_at is None or now - self._noted_at >= EVERY):
            self._note_gap(self._gap_from, now, GAP_REASON)
            self._gap_from, self._noted_at = None, now

    def trouble(self) -> str:
        """Return what is wrong, in a sentence; empty if all is well."""
        noted_at = self._noted_at
        lately = noted_at is not None and self._clock.now() - noted_at <= EVERY
        if self._gap_from is None and not lately:
            return ""
        return f"Envoy failed to write its access log {self._failed} times; see whether the disk is full"
