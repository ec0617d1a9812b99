"""The common part of the pooled database and the database of one command on PostgreSQL.

Not here: transactions (`database`, `one_shot`). This module does not need SQLAlchemy, so that a command with a few
statements does not load it (docs/design/0049).
Standard: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS.
"""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from doorward.storage.backend import SchemaGuard, ServerHealth
from doorward.storage.connection import driver_of
from doorward.storage.postgresql import lazy
from doorward.storage.postgresql.catalogue import PostgresqlCatalogue, has_table
from doorward.storage.postgresql.connecting import connect
from doorward.storage.postgresql.faults import translated
from doorward.storage.postgresql.listening import CHANNEL, Listener
from doorward.storage.postgresql.requirements import check_requirements

FOUNDING_LOCK = 0x646F6F7277617264
"""The advisory lock for making the first tables: "doorward" in ASCII."""
_SAFE = ("fsync", "full_page_writes")
_FACTS = (
    "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes')"
)
_CLOCK = "SELECT pg_catalog.date_part('epoch'::text, pg_catalog.clock_timestamp())"
_LOCK_FOUNDING = "SELECT pg_catalog.pg_advisory_xact_lock(%s)"
_LOCK_CHANGES = "SELECT version_num FROM alembic_version FOR UPDATE"
"""No other user may lock this row. The statements after it see the commits that were made while it waited."""


class DatabaseServer(ABC):
    """A database of a server.

    Args:
        url: `postgresql://…`, without a password.
        timeout: how long a transaction waits for the lock or a free connection.
        read_version: returns the schema revision that an open change has read.
    """

    def __init__(self, url: str, timeout: timedelta, read_version: Callable[[Any], object]) -> None:
        self.url = url
        self.timeout = timeout
        self.catalogue = PostgresqlCatalogue(self.connect)
        self.guard = SchemaGuard(read_version)

    @abstractmethod
    def read(self) -> AbstractContextManager[Any]:
        """Open a read transaction."""

    @abstractmethod
    def write(self, *, traffic: bool = False) -> AbstractContextManager[Any]:
        """Open a change."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    def connect(self, *, read_only: bool = False) -> psycopg.Connection:
        """Open a connection; raises as `connecting.connect`."""
        return connect(self.url, timeout=self.timeout, read_only=read_only)

    def notify_on_commit(self, connection: Any) -> None:
        """Notify the followers on every machine when the transaction commits."""
        driver_of(connection).execute(f"NOTIFY {CHANNEL}")

    @contextmanager
    def listening(self, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` for each change that any machine commits, as long as the block runs."""
        listener = Listener(self.url, notify)
        listener.start()
        try:
            yield
        finally:
            listener.stop()

    def exists(self) -> bool:
        """Return whether the database holds an installation; raises as `read`."""
        with self.read() as connection:
            return has_table(connection, "alembic_version")

    def create(self) -> None:
        """Check the requirements of an installation; an administrator makes the database itself.

        Raises:
            ConfigurationError: see `requirements`.
        """
        with self.read() as connection:
            check_requirements(connection)

    def erase(self) -> None:
        """Drop every table of Doorward: for the demonstration, which made them."""
        with self.write() as connection:
            lazy.core_view.drop_tables(driver_of(connection))
        self.close()  # open connections have cached facts of the tables

    def maintain(self) -> bool:
        """Do nothing: the server manages its own disk."""
        return False

    def erasing(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: if this process is killed, autovacuum finds the dead rows."""
        return nullcontext()

    def remove_remains(self) -> bool:
        """Vacuum the tables of personal values, so that deleted rows are not kept; return True.

        Bytes of them can stay in free space of pages, in the server's write-ahead log and in its archive: those are the
        operator's (docs/how-to/read-the-evidence.md).
        """
        with translated(), closing(connect(self.url, timeout=self.timeout, autocommit=True)) as driver:
            driver.execute("VACUUM log_openings, log_block_openings")
        return True

    def commit_marks(self) -> Callable[[], object | None]:
        """Return a function that returns None: to ask the server costs as much as to read."""
        return lambda: None

    def is_low(self) -> bool:
        """Return False: the free space of the server's disk is unknown here."""
        return False

    def server_clock(self) -> datetime:
        """Return the time of the server's clock, UTC; raises as `read`."""
        with self.read() as connection:
            (seconds,) = driver_of(connection).execute(_CLOCK).fetchone()
        return datetime.fromtimestamp(seconds, UTC)

    def check_health(self) -> ServerHealth:
        """Return the health of the server; raises as `read`."""
        with self.read() as connection:
            version, *settings = driver_of(connection).execute(_FACTS).fetchone()
        unsafe = [name for name, value in zip(_SAFE, settings, strict=True) if value == "off"]
        return ServerHealth(
            text=f"PostgreSQL {version} at {self.url}",
            trouble=tuple(
                f"the PostgreSQL server has {name} = off: a power cut may lose committed changes"
                for name in unsafe
            ),
            hints=tuple(f"set {name} = on in postgresql.conf" for name in unsafe),
            facts={"kind": "postgresql", "address": self.url, "version": version},
        )

    def set_schema_check(self, check: Callable[[Any], None]) -> None:
        """Run `check` before the first change, and again before the first change after a migration."""
        self.guard.set_check(check)

    def record_migration(self, connection: Any) -> None:  # noqa: B027  nothing is counted here
        """Do nothing: each change reads the revision itself."""


def is_dead(driver: psycopg.Connection) -> bool:
    """Return whether the server has closed an idle connection: then there is something to read on it."""
    if driver.closed:
        return True
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def lock_changes(driver: psycopg.Connection, seen: object) -> object:
    """Take the lock of all changes at the beginning of a transaction; return the schema revision.

    Args:
        driver: a connection without an open transaction.
        seen: the result of the last call; None for the first call.
    """
    if seen is None and not _has_revision(driver):
        driver.execute(_LOCK_FOUNDING, (FOUNDING_LOCK,))
        if not _has_revision(driver):
            return None
    return driver.execute(_LOCK_CHANGES).fetchone()


def _has_revision(driver: psycopg.Connection) -> bool:
    found = driver.execute("SELECT pg_catalog.to_regclass('alembic_version') IS NOT NULL").fetchone()
    return bool(found and found[0])
