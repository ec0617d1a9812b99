"""The database of a process of one command: one transaction after another, no pools, no Core.

Not here: the database of the roles (`database`). The lock, the durability and the schema check are the same as there.
Loading SQLAlchemy takes longer than most commands, so it is loaded only if a Core statement is run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from doorward.storage.backend import BUSY_TIMEOUT
from doorward.storage.connection import DriverConnection
from doorward.storage.postgresql import lazy
from doorward.storage.postgresql.faults import translate_commit, translated
from doorward.storage.postgresql.server import DatabaseServer, is_dead, lock_changes

if TYPE_CHECKING:
    from sqlalchemy import Connection


class OneShotPostgresql(DatabaseServer):
    """One database. Safe to share between threads, which write one after another.

    Args:
        url: `postgresql://…`, without a password.
        busy_timeout: how long a transaction waits for the lock.
    """

    def __init__(self, url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT) -> None:
        super().__init__(url, busy_timeout, lambda _connection: self._revision)
        self._revision: object = None
        self._readers: list[psycopg.Connection] = []
        self._writer: psycopg.Connection | None = None
        self._alone = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[DriverConnection]:
        """Open a read transaction: one snapshot, taken by its first statement; raises as `PostgresqlDatabase.read`."""
        with translated():
            driver = self._kept(self._readers.pop() if self._readers else None, read_only=True)
            connection = DriverConnection(driver, self._core_over, pyformat=True)
            try:
                yield connection
            finally:
                _undo(driver)
                connection.forget_core()
                self._readers.append(driver)

    @contextmanager
    def write(self, *, traffic: bool = False) -> Iterator[DriverConnection]:  # noqa: ARG002  the server's disk is not seen from here
        """Open a change: durable when the block has ended, rolled back on any exception; raises as `PostgresqlDatabase.write`."""
        with translated(), self._alone:
            driver = self._writer = self._kept(self._writer)
            connection = DriverConnection(driver, self._core_over, pyformat=True)
            try:
                self._revision = lock_changes(driver, self._revision)
                self.guard.check(connection)
                yield connection
                # if an error ended the transaction and was ignored, only a statement notices it; a commit does not
                driver.execute("SELECT 1")
                _commit(driver)
            finally:
                _undo(driver)
                connection.forget_core()

    def close(self) -> None:
        """Close every connection."""
        for one in (*self._readers, *([self._writer] if self._writer else [])):
            one.close()
        self._readers, self._writer, self._revision = [], None, None

    def _kept(self, driver: psycopg.Connection | None, *, read_only: bool = False) -> psycopg.Connection:
        """Return the connection, or a new one if there is none or the server has closed it."""
        if driver is not None and not is_dead(driver):
            return driver
        if driver is not None:
            driver.close()
        return self.connect(read_only=read_only)

    def _core_over(self, driver: psycopg.Connection) -> Connection:
        return lazy.core_view.core_over(driver, self.connect)


def _commit(driver: psycopg.Connection) -> None:
    try:
        driver.commit()
    except psycopg.Error as error:
        raise translate_commit(error) from None


def _undo(driver: psycopg.Connection) -> None:
    """Roll back the transaction if one is open."""
    with suppress(psycopg.Error):
        driver.rollback()
