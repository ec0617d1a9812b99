"""Reads the change sequence onwards for a memory that must not outlive a change.

Each read begins at the last change that was read before, which must still be there, with the same subject and time. So a database
that was put back to an older state is noticed also if it has reached the same number again.

Not here: what a change concerns (`affected_ids`).
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.stores.protocols import ChangeStore
from doorward.stores.records import ChangeRecord


class ChangeReader:
    """The place of one reader in the sequence; not safe to share between threads.

    Args:
        most: changes that are followed; beyond it, forgetting everything costs less than following.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._began = False
        self._last: ChangeRecord | None = None

    def read(self, changes: ChangeStore) -> Sequence[ChangeRecord] | None:
        """Return the changes since the last call, oldest first; None if they cannot be followed, and all is to be forgotten.

        They cannot be followed at the first call, if there are more than `most`, if old rows were removed meanwhile, and if
        the database was put back.

        Raises:
            Unavailable: the database cannot be read; the next call reads the same changes.
        """
        new = self._follow(changes) if self._began else None
        if new is None:
            newest = changes.since(changes.head() - 1, 1)
            self._last = newest[-1] if newest else None
        elif new:
            self._last = new[-1]
        self._began = True
        return new

    def _follow(self, changes: ChangeStore) -> Sequence[ChangeRecord] | None:
        number = self._last.seq if self._last is not None else 0
        new = changes.since(number - 1, self._most + 2)  # with the last one that is known, and one too many
        if self._last is not None:
            if not new or new[0] != self._last:
                return None
            new = new[1:]
        # Numbers have no holes, so fewer rows than numbers mean that rows were removed.
        is_whole = not new or new[-1].seq - number == len(new)
        return new if is_whole and len(new) <= self._most else None
