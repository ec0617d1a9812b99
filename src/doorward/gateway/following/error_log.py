"""Logging the follower's errors: each error once, and again each minute as long as it stays.

The follower tries again at each poll, twenty times a second: without a limit one error would fill the log.
"""

from __future__ import annotations

import structlog

from doorward.core.errors import DoorwardError
from doorward.core.ports import Clock

AGAIN_SECONDS = 60.0

_log = structlog.get_logger("doorward.follower")


class ThrottledErrorLog:
    """Logs each error of one follower once a minute; for one thread.

    Args:
        clock: for the minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at: dict[tuple[str, str], float] = {}

    def note(self, what: str, error: Exception) -> None:
        """Log that something failed, unless the same was logged within a minute and nothing succeeded since.

        Args:
            what: what could not be done, as a sentence.
            error: why; if it is not a `DoorwardError`, the traceback is logged too.
        """
        foreseen = error if isinstance(error, DoorwardError) else None
        key = what, foreseen.code if foreseen else type(error).__name__
        logged_at, now = self._logged_at.get(key), self._clock.monotonic()
        if logged_at is not None and now - logged_at < AGAIN_SECONDS:
            return
        self._logged_at[key] = now
        if foreseen:
            _log.error(what, code=foreseen.code, detail=foreseen.detail, hint=foreseen.hint)
        else:
            _log.error(f"{what}; it will be tried again", error=repr(error), exc_info=error)

    def clear(self) -> None:
        """Note that everything succeeded: the next error is logged at once."""
        self._logged_at.clear()
