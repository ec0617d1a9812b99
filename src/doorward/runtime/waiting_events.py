"""Whether events wait for the sequencer. While nothing is committed, the question opens no transaction.

Not here: sequencing (`audit.log`), and when it is asked (`serve`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Outbox(Protocol):
    """The events that are not in the tree yet, in a read transaction."""

    def has_waiting(self) -> bool:
        """Return whether there is one."""
        ...


class WaitingEvents:
    """Looks for waiting events; for one thread.

    Args:
        read: opens a read transaction.
        commit_mark: as `UnitOfWork.commit_marks` returns it.
    """

    def __init__(
        self, read: Callable[[], AbstractContextManager[Outbox]], commit_mark: Callable[[], object | None]
    ) -> None:
        self._read = read
        self._commit_mark = commit_mark
        self._empty_at: object | None = None  # the mark before the last look, if that found no event

    def look(self) -> bool:
        """Return whether an event waits; raises as `UnitOfWork.read`."""
        mark = self._commit_mark()
        if mark is not None and mark == self._empty_at:
            return False
        with self._read() as outbox:
            waiting = outbox.has_waiting()
        self._empty_at = None if waiting else mark
        return waiting
