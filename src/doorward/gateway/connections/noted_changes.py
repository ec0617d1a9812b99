"""The last changes that a gateway followed, with the ids that each may affect: they decide whether a judgement is outdated.

Not here: reading the change sequence (follower), and the connections (registry). Not safe between threads: the caller holds
the registry's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet

_REMEMBERED_CHANGES = 1_024
"""Changes that are kept with the ids that they may affect; a judgement older than all of them is outdated."""


class NotedChanges:
    """The changes since a number.

    Args:
        sequence: the number up to which the gateway has followed.
    """

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self._changes: deque[tuple[int, frozenset[str] | None]] = deque(maxlen=_REMEMBERED_CHANGES)
        self._horizon = sequence  # every change after this one is in `_changes`

    def note(self, sequence: int, touched: frozenset[str] | None) -> None:
        """Note a change, or some at once; numbers come in ascending order.

        Args:
            sequence: the number of the last one.
            touched: the ids that they may affect; None means all.
        """
        if len(self._changes) == _REMEMBERED_CHANGES:
            self._horizon = self._changes[0][0]
        self._changes.append((sequence, touched))
        self.sequence = max(self.sequence, sequence)

    def is_outdated(self, judged_at: int, ids: AbstractSet[str]) -> bool:
        """Return whether a change after this number may affect one of these ids."""
        if judged_at >= self.sequence:
            return False
        return judged_at < self._horizon or any(
            touched is None or not ids.isdisjoint(touched)
            for sequence, touched in self._changes
            if sequence > judged_at
        )
