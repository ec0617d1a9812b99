"""Whose turn it is to write: a fair queue between the processes that share one SQLite file.

Not here: threads of one process (they wait for its one write connection), and safety: SQLite's own
lock alone decides who may write. That lock is polled, up to 100 ms apart, and whoever writes without
a pause nearly always wins it again: a revocation would starve while a stampede of decisions is
recorded. So writers first pass two locks, as through a turnstile:

    1. `next`   one waiter holds it while it waits for `now`
    2. `now`    the writer holds it; a writer that comes back finds `next` taken and stands behind

Both are flock(2) on files beside the database, so that the end of a process, however sudden, frees
them. Standard: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from doorward.core.errors import Unavailable

_PAUSE_SECONDS = 0.0005
"""Between two looks at a lock: a waiter is let in this much late at most, and uses 2 % of a core."""


class WriteLock:
    """The queue of one database, seen from one process; one thread at a time.

    Args:
        database: the SQLite file; the locks lie beside it and belong to its owner.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._files: tuple[int, int] | None = None

    @contextmanager
    def held(self, timeout: timedelta) -> Iterator[None]:
        """Hold the turn for as long as the block runs.

        Raises:
            Unavailable: `store-busy` where it did not come in time; `store-missing`, `store-read-only`.
        """
        following, now = self._opened()
        deadline = time.monotonic() + timeout.total_seconds()
        _wait(following, deadline)
        try:
            _wait(now, deadline)
        finally:
            fcntl.flock(following, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(now, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; the next turn opens them again."""
        if self._files is not None:
            for descriptor in self._files:
                os.close(descriptor)
            self._files = None

    def _opened(self) -> tuple[int, int]:
        if self._files is None:
            try:
                owner = self._database.stat()
            except OSError as error:
                raise Unavailable(
                    "store-missing",
                    "there is no database that this user can open",
                    hint="run `doorward init`, or name the right directory with --data or DOORWARD_DATA",
                ) from error
            following = self._open("next", owner)
            try:
                self._files = (following, self._open("now", owner))
            except Unavailable:
                os.close(following)
                raise
        return self._files

    def _open(self, name: str, owner: os.stat_result) -> int:
        path = self._database.with_name(f"{self._database.name}-{name}")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:  # as SQLite does with its own files, or the owner were shut out
                _give(descriptor, owner, path)
        except OSError as error:
            raise Unavailable(
                "store-read-only",
                f"the directory of the database cannot be written: {error.strerror}",
                hint="is the file system mounted read-only, or does the file belong to another user?",
            ) from error
        return descriptor


def _give(descriptor: int, owner: os.stat_result, path: Path) -> None:
    """Give a file that root just made to the database's owner; nothing else is ever given away.

    The owner of the folder may have put another name of one of root's own files there.
    """
    found = os.fstat(descriptor)
    if found.st_uid == owner.st_uid:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size:
        os.close(descriptor)
        raise Unavailable(
            "store-foreign",
            f"database lock file {path} belongs to another user",
            hint="find out which program made it, then remove it; Doorward makes an empty one",
        )
    os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _wait(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Unavailable(
                    "store-busy",
                    "the database is busy with somebody else's change",
                    hint="try again; if it stays so, look for a process that hangs in the middle of a change",
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
