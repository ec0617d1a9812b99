"""What erased values leave behind: copies in the write-ahead log and in free pages.

SQLite overwrites deleted content in pages and free pages with zeros (`secure_delete`, see `file`). The write-ahead log still
has the pages from before, until it is copied into the file and cut to no length. That has to wait while a reader uses it,
so a file beside the database, the mark, says that it is still to do, also after a crash. Who erases holds a shared lock on the
mark, so that another process does not remove it before the last deletion.

Not here: deleting rows (`event_store`); unused parts of pages from which rows were moved before, which only VACUUM rewrites.
Standard: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint; flock(2).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from doorward.files import create_file
from doorward.storage.sqlite.faults import translated

_READABLE = 0o644
"""The mark is empty. A command of root makes it, and a process of the database's owner locks and removes it."""


class Remains:
    """The remains in one database. Safe to share between threads and processes.

    Args:
        database: the SQLite file.
        connect: opens a connection that waits for a lock for a few milliseconds only. SQLite keeps the lock of writers
            while it waits for readers, and a withdrawal must not wait for that.
    """

    def __init__(self, database: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._mark = database.with_name(f"{database.name}-erased")
        self._connect = connect

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Note durably, before values are erased in the block, that remains must be removed after it.

        Raises:
            OSError: the mark cannot be made.
        """
        while True:
            with suppress(FileExistsError):
                create_file(self._mark, b"", mode=_READABLE)
            with self._locked(fcntl.LOCK_SH) as is_held:
                if is_held:
                    yield
                    return

    def remove(self) -> bool:
        """Remove what was left by erased values; return False if a reader, a writer or another erasure prevents it now.

        Raises:
            OSError: the mark cannot be opened or removed.
            Unavailable, IntegrityError: as a transaction of the database.
        """
        if not self._mark.exists():
            return True
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB) as is_held:
            if not is_held:
                return False
            with translated(), closing(self._connect()) as driver:
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                return False
            self._mark.unlink(missing_ok=True)
        return True

    @contextmanager
    def _locked(self, operation: int) -> Iterator[bool]:
        """Lock the mark for the block; yield False if another process holds it, or has removed it meanwhile."""
        try:
            descriptor = os.open(self._mark, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield False
            return
        try:
            yield self._lock(descriptor, operation)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, operation: int) -> bool:
        try:
            fcntl.flock(descriptor, operation)
            return os.path.samestat(os.fstat(descriptor), self._mark.stat())
        except (BlockingIOError, FileNotFoundError):
            return False
