"""Slows down whoever tries invitation tokens, in bounded memory.

Not here: what a token is. Tokens have 256 random bits and cannot be guessed; what this protects is
the database and the record from a flood of tries, without letting a flood lock everybody out:
a source that has not failed lately always has a first try, also when the total is used up.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from doorward.core.errors import RequestRefused

WINDOW_SECONDS = 600.0
FAILURES_PER_SOURCE = 10
"""Precedent: people paste a wrong link two or three times; OpenSSH gives 6 tries a connection."""

FAILURES_IN_TOTAL = 1000
MAX_SOURCES = 4096
"""About half a megabyte; the oldest is forgotten first, and the total still counts its failures."""


@dataclass(slots=True)
class _Failures:
    """Failures since the beginning of a window."""

    began: float
    count: int = 0


class AttemptThrottle:
    """Counts failed tries by source and in total, over windows of ten minutes.

    Not safe between threads: it lives on one event loop. `now` is `Clock.monotonic()`.
    """

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Failures] = OrderedDict()
        self._total = _Failures(began=0.0)

    def check(self, source: str, now: float) -> None:
        """Return where this source may try.

        Raises:
            RequestRefused: `too-many-attempts`, with `retry_after_seconds`.
        """
        own = self._sources.get(source)
        if own is None or now - own.began >= WINDOW_SECONDS:
            return
        total = self._total.count if now - self._total.began < WINDOW_SECONDS else 0
        if own.count >= FAILURES_PER_SOURCE or total >= FAILURES_IN_TOTAL:
            raise RequestRefused(
                "too-many-attempts",
                "too many links that do not work came from your address",
                hint="wait ten minutes, or ask your administrator for a new link",
                retry_after_seconds=max(1, round(own.began + WINDOW_SECONDS - now)),
            )

    def note_failure(self, source: str, now: float) -> None:
        """Count a failed try."""
        for failures in (self._of(source, now), self._total):
            if now - failures.began >= WINDOW_SECONDS:
                failures.began, failures.count = now, 0
            failures.count += 1

    def _of(self, source: str, now: float) -> _Failures:
        failures = self._sources.setdefault(source, _Failures(began=now))
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return failures
