"""The database of a process of one command: one transaction after another, no pools, no Core.

Not here: the database of the roles (`database`), the file (`file`), the lock between processes (`write_lock`).
The lock, the durability and the schema check are the same as there. Loading SQLAlchemy takes longer than most
commands, so it is loaded only if a Core statement is run (`DriverConnection.core`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from doorward.storage.backend import BUSY_TIMEOUT
from doorward.storage.connection import DriverConnection
from doorward.storage.sqlite import lazy
from doorward.storage.sqlite.faults import translated
from doorward.storage.sqlite.file import DatabaseFile

if TYPE_CHECKING:
    from sqlalchemy import Connection


class OneShotSqlite(DatabaseFile):
    """One database file. Safe to share between threads, which write one after another.

    Args:
        path: the file.
        busy_timeout: how long a transaction waits for the lock.
    """

    def __init__(self, path: Path, *, busy_timeout: timedelta = BUSY_TIMEOUT) -> None:
        super().__init__(path.absolute(), busy_timeout)
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._alone = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[DriverConnection]:
        """Open a read transaction: one snapshot, taken by its first statement.

        Raises:
            Unavailable: `store-busy`, `store-missing`, `store-unavailable`.
            IntegrityError: `store-damaged`.
        """
        with translated():
            driver = self._readers.pop() if self._readers else self.open(query_only=True)
            connection = DriverConnection(driver, _core_over)
            try:
                driver.execute("BEGIN")
                yield connection
            finally:
                _end(driver, "ROLLBACK")
                connection.forget_core()
                self._readers.append(driver)

    @contextmanager
    def write(self, *, traffic: bool = False) -> Iterator[DriverConnection]:
        """Open a change: durable when the block has ended, rolled back on any exception.

        Args:
            traffic: refuse the change (`store-full`) if it would use the space that is reserved for withdrawals.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        if traffic:
            self.reserve.check_traffic()
        with translated(), self._alone, self.write_lock.held(self.timeout):
            if self._writer is None:
                self._writer = self.open(query_only=False)
            driver = self._writer
            connection = DriverConnection(driver, _core_over)
            driver.execute("BEGIN IMMEDIATE")
            try:
                self.guard.check(connection)
                if not traffic:
                    self.reserve.free_pages(driver)
                yield connection
                driver.execute("COMMIT")
            except BaseException:
                _end(driver, "ROLLBACK")  # also after a refused commit
                raise
            finally:
                connection.forget_core()
        self.reserve.preallocate()

    def maintain(self) -> bool:
        """Add pages to the reserve for withdrawals, and remove what erased values left; return whether more pages are missing."""
        self.remove_remains()
        with self.write(traffic=True) as connection:
            return self.reserve.refill(connection.driver)

    def close(self) -> None:
        """Close every connection; if it is the last of all processes, SQLite moves the write-ahead log into the file."""
        for one in (*self._readers, *([self._writer] if self._writer else [])):
            one.close()
        self._readers, self._writer = [], None
        super().close()


def _end(driver: sqlite3.Connection, how: str) -> None:
    if driver.in_transaction:  # after some errors SQLite itself ends the transaction
        with suppress(sqlite3.Error):
            driver.execute(how)


def _core_over(driver: sqlite3.Connection) -> Connection:
    return lazy.core_view.core_over(driver)
