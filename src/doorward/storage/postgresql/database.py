"""A PostgreSQL database: its connection pools, and the lock that allows one change at a time.

Not here: the address (`connecting`), tables (`schema`), statements (`repositories`), threads that share a commit (`group_commit`).

Two pools over one database, which other processes and machines use too:
    readers   up to `readers` connections; each transaction is one snapshot (REPEATABLE READ, READ ONLY)
    writer    one connection; each transaction begins with the lock of all changes: the row of `alembic_version`

So changes are made one after the other, as on SQLite, and the use cases may read before they write. The lock is taken
before any other statement of the transaction, and PostgreSQL releases it after the commit is visible. So when a
transaction takes a number of the change sequence, every lower number is committed; the same holds for the order of the
outbox (docs/design/0056). A transaction is READ COMMITTED: each of its statements sees the commit of the previous
holder of the lock. The lock is on a row, because locking a row needs a right on our tables. Every user who may connect
could take an advisory lock, and block every change (docs/design/0063).
Standard: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError

from doorward.storage.backend import BUSY_TIMEOUT, READERS
from doorward.storage.connection import driver_of
from doorward.storage.group_commit import Writer
from doorward.storage.postgresql.core_view import make_engine
from doorward.storage.postgresql.faults import translate_commit, translated
from doorward.storage.postgresql.server import DatabaseServer, is_dead, lock_changes

_REVISION = "revision"
"""Key of the write connection's `info`: the schema revision that its transaction found."""


class PostgresqlDatabase(DatabaseServer):
    """One database. Safe to share between threads; not to be used after a fork.

    Args:
        url: `postgresql://…`, without a password.
        busy_timeout: how long a transaction waits for the lock or a free connection.
        readers: how many read transactions may be open at the same time.
    """

    def __init__(self, url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT, readers: int = READERS) -> None:
        super().__init__(url, busy_timeout, lambda connection: connection.info[_REVISION])
        self._readers = self._engine(size=readers, read_only=True)
        self._writers = self._engine(size=1, read_only=False)
        event.listen(self._writers, "begin", _lock_changes)
        self._writer = Writer(self._writers, nullcontext, busy_timeout, translate_commit=translate_commit)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one snapshot, taken by its first statement.

        Raises:
            Unavailable: `store-unavailable`, `store-busy`, `store-refused`, `store-missing`.
            IntegrityError: `store-damaged`.
        """
        with translated(), self._readers.connect() as connection:
            connection.begin()
            yield connection

    @contextmanager
    def write(self, *, traffic: bool = False) -> Iterator[Connection]:  # noqa: ARG002  the server's disk is not seen from here
        """Open a change: durable when the block has ended, rolled back on any exception; see `group_commit`.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`, `store-forbidden`, `store-unsure`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        with translated(), self._writer.transaction() as connection:
            self.guard.check(connection)
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writers.dispose()

    def _engine(self, *, size: int, read_only: bool) -> Engine:
        engine = make_engine(
            lambda: self.connect(read_only=read_only),
            pool_size=size,
            max_overflow=0,
            pool_timeout=self.timeout.total_seconds(),
            pool_use_lifo=True,
        )
        event.listen(engine, "checkout", _refuse_dead)
        return engine


def _lock_changes(connection: Connection) -> None:
    """Lock all changes, and read the schema revision once for all changes of the transaction."""
    info = connection.info
    info[_REVISION] = lock_changes(driver_of(connection), info.get(_REVISION))


def _refuse_dead(driver: psycopg.Connection, _record: object, _proxy: object) -> None:
    """Let the pool replace a connection that the server has ended."""
    if is_dead(driver):
        raise DisconnectionError
