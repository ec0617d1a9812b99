"""Bounds what a peer may cost with frames that ask nothing.

Frames such as SETTINGS, PING, RST_STREAM and empty DATA cost work, and some an answer, but carry no call. A peer has a stock
of them that grows with time. Envoy needs about one for each call; a peer that floods uses up the stock within a moment.
Precedents: CVE-2019-9512 (PING), CVE-2019-9515 (SETTINGS), CVE-2019-9518 (empty frames), CVE-2023-44487 (rapid reset).
"""

from __future__ import annotations

PER_SECOND = 5_000.0
"""About 1 % of a core. More than twice the calls that one core of Envoy can ask for."""
STOCK = 10_000.0


class FrameBudget:
    """The stock of one peer.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._left = STOCK
        self._at = now

    def spend(self, frames: int, now: float) -> bool:
        """Take so many frames out; return False if they are too many."""
        self._left = min(STOCK, self._left + (now - self._at) * PER_SECOND) - frames
        self._at = now
        return self._left >= 0
