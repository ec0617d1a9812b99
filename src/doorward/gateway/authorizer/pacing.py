"""How long the server's loop waits between two turns: a moment while many calls come, nothing otherwise.

All calls of a turn share one synced commit and one read of the change sequence, which cost as much as ten calls. So while
several calls come at a time, waiting as long as the last turn took lets more of them share. A quiet door has one call in a
turn and does not wait.

Not here: the loop (loop).
"""

from __future__ import annotations

LONGEST_PAUSE_SECONDS = 0.02
"""Connections of a door that is so busy wait several times as long for the processor."""

_SEVERAL = 2.0
_QUIET_AFTER_SECONDS = 0.05


class TurnPacer:
    """Remembers how many calls the last turns had. All times are monotonic seconds; for one thread."""

    def __init__(self) -> None:
        self._calls_a_turn = 0.0
        self._ended_at = -_QUIET_AFTER_SECONDS
        self._until = 0.0

    def note(self, calls: int, began: float, now: float) -> None:
        """Note a turn with so many calls that began and has ended; the next one may wait for as long as it took."""
        if now - self._ended_at >= _QUIET_AFTER_SECONDS:
            self._calls_a_turn = calls
        else:
            self._calls_a_turn = (3 * self._calls_a_turn + calls) / 4
        self._ended_at = now
        self._until = now + (now - began) if self._calls_a_turn >= _SEVERAL else now

    def pause(self, now: float) -> float:
        """Return how many seconds the next turn waits before it begins; 0 for not at all."""
        return max(0.0, min(self._until - now, LONGEST_PAUSE_SECONDS))
