"""When evidence is looked for next: pure.

- After a find: when the operator's `refresh` is over, or half of what is left of its validity, whichever is
  sooner. It is renewed well before it ends, and a revocation at the partner is known within `refresh`.
- After a failure: 15 seconds, twice as long after each further one in a row, at most an hour and never
  longer than `refresh`.
- Never the same moment for all: what began together drifts apart, and a responder that comes back is not
  met by everybody at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SHORTEST_PAUSE = timedelta(seconds=30)
"""Between two finds, unless the operator asked for less: evidence near its end must not be asked for in a loop."""
FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(hours=1)

_LEAST = timedelta(seconds=1)
_SPREAD = 0.1
_DOUBLINGS = 16


def after_find(now: datetime, refresh: timedelta, next_update: datetime | None, chance: float) -> datetime:
    """Return when to look next after something good came; `chance` is 0 to 1."""
    pause = refresh
    if next_update is not None:
        pause = max(min(pause, (next_update - now) / 2), min(refresh, SHORTEST_PAUSE))
    return now + max(pause, _LEAST) * (1 - _SPREAD * chance)


def after_failure(now: datetime, refresh: timedelta, failures: int, chance: float) -> datetime:
    """Return when to look next after so many failures in a row, 1 for the first; `chance` is 0 to 1."""
    pause: timedelta = FIRST_RETRY * 2 ** min(failures - 1, _DOUBLINGS)
    return now + max(min(pause, LONGEST_RETRY, refresh), _LEAST) * (1 - chance / 2)
