"""The database of a process with threads: its connections and its transactions.

Not here: the file and its connections (`file`), a process of one command (`one_shot`), tables
(`schema`), statements (`repositories`), who writes when (`writing`, `turns`).

Two pools over one file, shared with other processes:
    readers   up to `readers` connections, `query_only`; each transaction is one WAL snapshot
    writer    one connection; transactions begin IMMEDIATE, so whoever holds it can always commit

A commit is durable when it returns: WAL with synchronous=FULL syncs the log at every commit. A
PostgreSQL URL would add a second way to make the two pools; callers see `Connection` only.
Standard: https://www.sqlite.org/wal.html and /pragma.html.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from doorward.core.errors import ConfigurationError, Fault
from doorward.storage.sqlite.faults import translated
from doorward.storage.sqlite.file import BUSY_TIMEOUT, SchemaGuard, make_file, migrations, open_connection
from doorward.storage.sqlite.reserve import Reserve
from doorward.storage.sqlite.turns import Turns
from doorward.storage.writing import Writer

READERS = 16
"""Connections that read at the same time; each holds a file and a page cache of at most 4 MB."""


class Database:
    """One database. Safe to share between threads; not to be used after a fork.

    Args:
        url: `sqlite:////absolute/path`; other databases are refused.
        busy_timeout: how long a transaction waits for its turn.
        readers: how many read transactions may be open at the same time.

    Raises:
        ConfigurationError: `database-unsupported`.
    """

    def __init__(self, url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT, readers: int = READERS) -> None:
        self.path = _path(url)
        self.busy_timeout = busy_timeout
        self._guard = SchemaGuard()
        self._turns = Turns(self.path)
        self.reserve = Reserve(self.path)
        self._readers = self._engine(begin="BEGIN", size=readers, query_only=True)
        self._writers = self._engine(begin="BEGIN IMMEDIATE", size=1, query_only=False)
        self._writer = Writer(self._writers, self._turns, busy_timeout)

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
        """Open a change: durable when the block has ended, undone on any exception; see `writing`.

        Args:
            traffic: refused (`store-full`) while it would take the room that is kept for withdrawals.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        if traffic:
            self.reserve.check_traffic()
        with translated(), self._writer.transaction() as connection:
            self._guard.look(connection)
            if not traffic:
                self.reserve.make_room(connection.connection.driver_connection)
            yield connection
        self.reserve.hold()

    def refill_reserve(self) -> bool:
        """Add to the pages that are kept for withdrawals; return whether more are missing."""
        with self.write(traffic=True) as connection:
            return self.reserve.refill(connection.connection.driver_connection)

    def check_changes_with(self, check: Callable[[Connection], None]) -> None:
        """Let `check` look at the schema before the first change, and before the first after each change of it."""
        self._guard.use(check)

    def count_migration(self, connection: Connection) -> None:
        """Tell every program that has the file open of a migration, with the commit of `connection`."""
        connection.exec_driver_sql(f"PRAGMA user_version = {migrations(connection) + 1}")

    def create(self) -> None:
        """Make the file if it is missing: see `file.make_file`."""
        make_file(self.path)

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the file."""
        self._readers.dispose()
        self._writers.dispose()
        self._turns.close()

    def _engine(self, *, begin: str, size: int, query_only: bool) -> Engine:
        engine = create_engine(
            "sqlite://",
            creator=lambda: self._connect(query_only=query_only),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=self.busy_timeout.total_seconds(),
            pool_use_lifo=True,
            hide_parameters=True,  # an error must not carry a token or a name into a log
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection  # not through Core: this is hot
            driver.execute(begin)

        return engine

    def _connect(self, *, query_only: bool) -> sqlite3.Connection:
        self.reserve.drop_ballast()
        return open_connection(self.path, patience=self.busy_timeout, query_only=query_only)


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"sqlite:///{quote(str(path.absolute()))}"


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or not (parsed.database or "").startswith("/"):
        raise ConfigurationError(
            [
                Fault(
                    code="database-unsupported",
                    message="the database is not a SQLite file with an absolute path",
                    hint="write it as sqlite:////var/lib/doorward/db/doorward.db",
                    key="database",
                )
            ]
        )
    return Path(str(parsed.database))
