"""What the pooled database and that of one command have in common on PostgreSQL.

Not here: transactions (`database`, `one_shot`). Nothing here needs SQLAlchemy, so that a command that runs a
few statements does not load it (docs/design/0049).
Standard: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS.
"""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import psycopg

from doorward.storage.backend import SchemaGuard, ServerHealth
from doorward.storage.connection import driver_of
from doorward.storage.postgresql import lazy
from doorward.storage.postgresql.catalogue import PostgresqlCatalogue, has_table
from doorward.storage.postgresql.connecting import connect
from doorward.storage.postgresql.listening import CHANNEL, Listener
from doorward.storage.postgresql.requirements import check_requirements

FOUNDING_LOCK = 0x646F6F7277617264
"""The advisory lock of those who make the first tables: "doorward" in ASCII."""
_SAFE = ("fsync", "full_page_writes")
_FACTS = (
    "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes')"
)
_FOUND = "SELECT pg_catalog.pg_advisory_xact_lock(%s)"
_TURN = "SELECT version_num FROM alembic_version FOR UPDATE"
"""No other user may lock this row. The statements after it see what was committed while it waited."""


class DatabaseServer(ABC):
    """A database of a server.

    Args:
        url: `postgresql://…`, without a password.
        timeout: how long a transaction waits for its turn.
        read_version: returns what a migration would have changed, of an open change.
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

    def announce(self, connection: Any) -> None:
        """Wake the followers on every machine, if and when the transaction commits."""
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
        """See that the database is fit for an installation; making it is the business of its administrator.

        Raises:
            ConfigurationError: what is wrong with it: see `requirements`.
        """
        with self.read() as connection:
            check_requirements(connection)

    def erase(self) -> None:
        """Drop every table of ours: for the demonstration, which made them."""
        with self.write() as connection:
            lazy.core_view.drop_tables(driver_of(connection))
        self.close()  # what a connection knows of the tables is over

    def maintain(self) -> bool:
        """Do nothing: the server keeps its own room."""
        return False

    def is_low(self) -> bool:
        """Return False: how much room the server has is not seen from here."""
        return False

    def check_health(self) -> ServerHealth:
        """Return how the server is; raises as `read`."""
        with self.read() as connection:
            version, *settings = driver_of(connection).execute(_FACTS).fetchone()
        unsafe = [name for name, value in zip(_SAFE, settings, strict=True) if value == "off"]
        return ServerHealth(
            text=f"PostgreSQL {version} at {self.url}",
            trouble=tuple(
                f"{name} is off at the server: a power cut may take back what was decided" for name in unsafe
            ),
            hints=tuple(f"set {name} = on in postgresql.conf" for name in unsafe),
            facts={"kind": "postgresql", "address": self.url, "version": version},
        )

    def check_changes_with(self, check: Callable[[Any], None]) -> None:
        """Let `check` look at the schema before the first change, and before the first after a migration."""
        self.guard.use(check)

    def count_migration(self, connection: Any) -> None:  # noqa: B027  nothing is counted here
        """Do nothing: each change looks at the revision itself."""


def is_dead(driver: psycopg.Connection) -> bool:
    """Return whether the server has ended a connection that is idle: then something waits to be read on it."""
    if driver.closed:
        return True
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def lock_changes(driver: psycopg.Connection, seen: object) -> object:
    """Take the lock at the beginning of a change; return what a migration would have changed.

    Args:
        driver: within no transaction yet.
        seen: what was returned the last time; None for the first time.
    """
    if seen is None and not _has_revision(driver):
        driver.execute(_FOUND, (FOUNDING_LOCK,))
        if not _has_revision(driver):
            return None
    return driver.execute(_TURN).fetchone()


def _has_revision(driver: psycopg.Connection) -> bool:
    found = driver.execute("SELECT pg_catalog.to_regclass('alembic_version') IS NOT NULL").fetchone()
    return bool(found and found[0])
