"""A PostgreSQL database: its connections, and the lock that lets one change at a time commit.

Not here: the address (`place`), tables (`schema`), statements (`repositories`), threads that share a commit (`writing`).

Two pools over one database, which other processes and machines use too:
    readers   up to `readers` connections; each transaction is one snapshot (REPEATABLE READ, READ ONLY)
    writer    one connection; each transaction begins with the lock of all changes of this database

So changes happen one after the other, as on SQLite, and the use cases may read before they write. The lock
is taken before the transaction's first statement sees anything, and PostgreSQL lets it go after the commit
is visible: a number of the change sequence is drawn when every lower one is committed, and the same holds
for the order of the outbox (docs/design/0056). A transaction is READ COMMITTED: each of its statements sees
what the holder of the lock before it has committed.
Standard: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from doorward.storage.backend import BUSY_TIMEOUT, READERS, Condition, SchemaGuard
from doorward.storage.connection import driver_of
from doorward.storage.postgresql.catalogue import PostgresqlCatalogue, has_table
from doorward.storage.postgresql.faults import translate_commit, translated
from doorward.storage.postgresql.founding import check_place, drop_tables
from doorward.storage.postgresql.listening import CHANNEL, Listener
from doorward.storage.postgresql.place import connect
from doorward.storage.writing import Writer

CHANGES_LOCK = 0x646F6F7277617264
"""The advisory lock of all changes of one database: "doorward" in ASCII."""
_SAFE = ("fsync", "full_page_writes")
_FACTS = (
    "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes')"
)
_REVISION = "revision"
"""What is kept with the write connection: the revision that its transaction found."""
_LOCK = "SELECT pg_advisory_xact_lock(%s)"


class PostgresqlDatabase:
    """One database. Safe to share between threads; not to be used after a fork.

    Args:
        url: `postgresql://…`, without a password.
        busy_timeout: how long a transaction waits for its turn.
        readers: how many read transactions may be open at the same time.
    """

    def __init__(self, url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT, readers: int = READERS) -> None:
        self.url = url
        self.busy_timeout = busy_timeout
        self.catalogue = PostgresqlCatalogue(lambda: connect(url, patience=busy_timeout))
        self._guard = SchemaGuard(lambda connection: connection.info[_REVISION])
        self._readers = self._engine(size=readers, read_only=True)
        self._writers = self._engine(size=1, read_only=False)
        event.listen(self._writers, "begin", _take_turn)
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
        """Open a change: durable when the block has ended, undone on any exception; see `writing`.

        Raises:
            Unavailable: as `read`, and `store-full`, `store-read-only`, `store-forbidden`, `store-unsure`.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        with translated(), self._writer.transaction() as connection:
            self._guard.look(connection)
            yield connection

    def announce(self, connection: Any) -> None:
        """Wake the followers on every machine, if and when the transaction commits."""
        driver_of(connection).execute(f"NOTIFY {CHANNEL}")

    @contextmanager
    def listening(self, ring: Callable[[], None]) -> Iterator[None]:
        """Call `ring` for each change that any machine commits, as long as the block runs."""
        listener = Listener(self.url, ring)
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
            ConfigurationError: what is wrong with it: see `founding`.
        """
        with self.read() as connection:
            check_place(connection)

    def erase(self) -> None:
        """Drop every table of ours: for the demonstration, which made them."""
        with self.write() as connection:
            drop_tables(connection)

    def tend(self) -> bool:
        """Do nothing: the server keeps its own room."""
        return False

    def is_low(self) -> bool:
        """Return False: how much room the server has is not seen from here."""
        return False

    def examine(self) -> Condition:
        """Return how the server is; raises as `read`."""
        with self.read() as connection:
            version, *settings = driver_of(connection).execute(_FACTS).fetchone()
        unsafe = [name for name, value in zip(_SAFE, settings, strict=True) if value == "off"]
        return Condition(
            text=f"PostgreSQL {version} at {self.url}",
            trouble=tuple(
                f"{name} is off at the server: a power cut may take back what was decided" for name in unsafe
            ),
            hints=tuple(f"set {name} = on in postgresql.conf" for name in unsafe),
            facts={"kind": "postgresql", "address": self.url, "version": version},
        )

    def check_changes_with(self, check: Callable[[Any], None]) -> None:
        """Let `check` look at the schema before the first change, and before the first after a migration."""
        self._guard.use(check)

    def count_migration(self, connection: Any) -> None:
        """Do nothing: each change looks at the revision itself."""

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writers.dispose()

    def _engine(self, *, size: int, read_only: bool) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect(self.url, patience=self.busy_timeout, read_only=read_only),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=self.busy_timeout.total_seconds(),
            pool_use_lifo=True,
            hide_parameters=True,  # an error must not carry a token or a name into a log
            use_native_hstore=False,  # or the type would be looked up
        )
        event.listen(engine, "checkout", _refuse_dead)
        return engine


def _take_turn(connection: Connection) -> None:
    """Take the lock, and read once for all changes of the transaction what a migration would have changed."""
    driver = driver_of(connection)
    driver.execute(_LOCK, (CHANGES_LOCK,))
    if connection.info.get(_REVISION) is None and not has_table(connection, "alembic_version"):
        connection.info[_REVISION] = None
    else:
        connection.info[_REVISION] = driver.execute("SELECT version_num FROM alembic_version").fetchone()


def _refuse_dead(driver: psycopg.Connection, _record: object, _proxy: object) -> None:
    """Let the pool replace a connection that the server has ended: then something waits to be read on it."""
    if driver.closed:
        raise DisconnectionError
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError
