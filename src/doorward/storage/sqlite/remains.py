"""What erased values leave behind: copies in the write-ahead log and in free pages.

SQLite overwrites deleted content in pages and free pages with zeros (`secure_delete`, see `file`). The write-ahead log still
has the pages from before, until it is copied into the file and cut to no length. That has to wait while a reader uses it,
so a file beside the database says that it is still to do, also after a crash.

Not here: deleting rows (`event_store`).
Standard: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from doorward.files import replace_file
from doorward.storage.sqlite.faults import translated


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

    def expect(self) -> None:
        """Note durably, before values are erased, that remains must be removed; raises `OSError`."""
        replace_file(self._mark, b"")

    def remove(self) -> bool:
        """Remove what was left by erased values; return False if a reader or a writer prevents it now.

        Raises:
            Unavailable, IntegrityError: as a transaction of the database.
        """
        if not self._mark.exists():
            return True
        with translated(), closing(self._connect()) as driver:
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            return False
        with suppress(FileNotFoundError):
            self._mark.unlink()
        return True
