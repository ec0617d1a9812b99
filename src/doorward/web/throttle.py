"""Counts wrong invitation tokens and proofs, in bounded memory; a valid one is never refused because of wrong ones.

Tokens have 256 random bits and cannot be guessed. The limit protects the record from a flood of tries: beyond it, a wrong
token gets 429 and no event. It has no effect on valid tokens: otherwise ten wrong tokens from an address would stop the
enrolment of everybody behind that address.
Not here: tokens, and checking them (`enrolment.invitation`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from doorward.core.errors import RequestRefused

WINDOW_SECONDS = 600.0
FAILURES_PER_SOURCE = 10
"""People paste a wrong link two or three times. Precedent: OpenSSH allows 6 tries for each connection."""

FAILURES_IN_TOTAL = 1000
MAX_SOURCES = 4096
"""About half a megabyte; the oldest count is dropped first, and its failures still count in the total."""


@dataclass(slots=True)
class _Failures:
    """Failures since the beginning of a window."""

    began: float
    count: int = 0


class AttemptThrottle:
    """Counts tries by source and in total, over windows of ten minutes.

    Not safe between threads: it lives on one event loop. `now` is `Clock.monotonic()`.

    Args:
        per_source: tries of one source in a window.
        in_total: tries of all sources; None for no limit.
        detail: of the error.
        hint: of the error.
    """

    def __init__(
        self,
        *,
        per_source: int = FAILURES_PER_SOURCE,
        in_total: int | None = FAILURES_IN_TOTAL,
        detail: str = "too many invalid links came from your network address",
        hint: str = "use the newest link, or ask your administrator for a new one",
    ) -> None:
        self._per_source, self._in_total = per_source, in_total
        self._detail, self._hint = detail, hint
        self._sources: OrderedDict[str, _Failures] = OrderedDict()
        self._total = _Failures(began=0.0)

    def refusal(self, source: str, now: float) -> RequestRefused | None:
        """Return the error for a further wrong token of this source; None if the limits are not reached."""
        for failures, most in (
            (self._sources.get(source), self._per_source),
            (self._total, self._in_total),
        ):
            if failures is None or most is None:
                continue
            if failures.count >= most and now - failures.began < WINDOW_SECONDS:
                return RequestRefused(
                    "too-many-attempts",
                    self._detail,
                    hint=self._hint,
                    retry_after_seconds=max(1, round(failures.began + WINDOW_SECONDS - now)),
                )
        return None

    def note_failure(self, source: str, now: float) -> None:
        """Count a try."""
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
