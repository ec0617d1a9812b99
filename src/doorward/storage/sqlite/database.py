"""The database of a process with threads: its connection pools and its transactions.

Not here: the file and its connections (`file`), a process of one command (`one_shot`), tables
(`schema`), statements (`repositories`), the order of writers (`group_commit`, `write_lock`).

Two pools over one file (`kept_connections`), shared with other processes:
    readers   up to `readers` connections, `query_only`; each transaction is one WAL snapshot
    writer    one connection; a transaction begins IMMEDIATE, so it can always commit

A commit is durable when it returns: WAL with synchronous=FULL syncs the log at every commit.
Standard: https://www.sqlite.org/wal.html and /pragma.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from doorward.storage.backend import BUSY_TIMEOUT, READERS
from doorward.storage.group_commit import Writer
from doorward.storage.kept_connections import KeptConnections
from doorward.storage.sqlite.faults import translated
from doorward.storage.sqlite.file import DatabaseFile


class SqliteDatabase(DatabaseFile):
    """One database. Safe to share between threads; not to be used after a fork.

    Args:
        path: the file.
        busy_timeout: how long a transaction waits for the lock or a free connection.
        readers: how many read transactions may be open at the same time; each connection holds a file
            and a page cache of at most 4 MB.
    """

    def __init__(self, path: Path, *, busy_timeout: timedelta = BUSY_TIMEOUT, readers: int = READERS) -> None:
        super().__init__(path.absolute(), busy_timeout)
        seconds = busy_timeout.total_seconds()
        readers_engine = self._engine(begin="BEGIN", size=readers, query_only=True)
        self._readers = KeptConnections(readers_engine, most=readers, timeout_seconds=seconds)
        self._writers = self._engine(begin="BEGIN IMMEDIATE", size=1, query_only=False)
        self._kept_writer = KeptConnections(self._writers, most=1, timeout_seconds=seconds)
        self._writer = Writer(self._kept_writer, lambda: self.write_lock.held(busy_timeout), busy_timeout)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one snapshot, taken by its first statement.

        Raises:
            Unavailable: `store-busy`, `store-missing`, `store-unavailable`.
            IntegrityError: `store-damaged`.
        """
        with translated(), self._readers.connect() as connection:
            connection.begin()
            yield connection

    @contextmanager
    def write(self, *, traffic: bool = False) -> Iterator[Connection]:
        """Open a change: durable when the block has ended, rolled back on any exception; see `group_commit`.

        Args:
            traffic: refuse the change (`store-full`) if it would use the space that is reserved for withdrawals.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        if traffic:
            self.reserve.check_traffic()
        with translated(), self._writer.transaction() as connection:
            self.guard.check(connection)
            if not traffic:
                self.reserve.free_pages(connection.connection.driver_connection)
            yield connection
        self.reserve.preallocate()

    def maintain(self) -> bool:
        """Add pages to the reserve for withdrawals, and remove what erased values left; return whether more pages are missing."""
        self.remove_remains()
        with self.write(traffic=True) as connection:
            return self.reserve.refill(connection.connection.driver_connection)

    def close(self) -> None:
        """Close every connection; if it is the last of all processes, SQLite moves the write-ahead log into the file."""
        self._readers.close()
        self._kept_writer.close()
        super().close()

    def _engine(self, *, begin: str, size: int, query_only: bool) -> Engine:
        engine = create_engine(
            "sqlite://",
            creator=lambda: self.open(query_only=query_only),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=self.timeout.total_seconds(),
            pool_use_lifo=True,
            hide_parameters=True,  # an error must not carry a token or a name into a log
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection  # not through Core: this is on the hot path
            driver.execute(begin)

        return engine
