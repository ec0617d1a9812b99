"""The SQLite file: how it is opened, what every connection is told, and which schema it is written with.

Not here: pools and threads (`database`), one transaction after another (`one_shot`). Nothing here needs
SQLAlchemy, so that a command that runs a few statements does not load it.
Standard: https://www.sqlite.org/wal.html and /pragma.html.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from doorward.core.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from doorward.storage.sqlite.reserve import Reserve

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long to wait for another writer: `max_staleness` of the gateways is 5 s, so waiting longer gains nothing."""

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = FULL",  # a commit that returned survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",  # a doctored file must not run functions through its views
    "PRAGMA cell_size_check = ON",  # find a damaged page before it is copied
    "PRAGMA temp_store = MEMORY",  # sorting needs no second place that may be full
    "PRAGMA journal_size_limit = 67108864",  # a log that grew under a long reader gives its room back
    "PRAGMA cache_size = -4000",  # KiB; the kernel caches the rest
)


class AnyDatabase(Protocol):
    """What the unit of work needs of a database: `database.Database` and `one_shot.OneShotDatabase`."""

    path: Path
    reserve: Reserve

    def read(self) -> AbstractContextManager[Any]:
        """Open a read transaction."""
        ...

    def write(self, *, traffic: bool = False) -> AbstractContextManager[Any]:
        """Open a change."""
        ...

    def refill_reserve(self) -> bool:
        """Add to the pages that are kept for withdrawals."""
        ...

    def check_changes_with(self, check: Callable[[Any], None]) -> None:
        """Look at the schema before the first change, and after each migration."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class OneConnection:
    """The driver's connection within a transaction; Core's view of it is made if a statement asks for it."""

    __slots__ = ("_core", "driver")

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver
        self._core: Connection | None = None

    @property
    def core(self) -> Connection:
        """SQLAlchemy's connection over the same transaction; it neither begins nor ends one."""
        if self._core is None:
            self._core = _core_over(self.driver)
        return self._core

    def forget_core(self) -> None:
        """Close Core's view, after the transaction has ended."""
        if self._core is not None:
            engine = self._core.engine
            self._core.close()
            engine.dispose(close=False)  # the driver's connection is not Core's to close
            self._core = None


def driver_of(connection: Any) -> Any:
    """Return the driver's connection."""
    if isinstance(connection, OneConnection):
        return connection.driver
    return connection.connection.driver_connection


def core_of(connection: Any) -> Connection:
    """Return SQLAlchemy's connection."""
    core: Connection = connection.core if isinstance(connection, OneConnection) else connection
    return core


def _core_over(driver: sqlite3.Connection) -> Connection:
    from sqlalchemy import create_engine  # noqa: PLC0415  only for statements of Core
    from sqlalchemy.pool import QueuePool  # noqa: PLC0415  as above

    # The first connection of an engine is asked what it can do, and is then rolled back.
    made = iter([sqlite3.connect(":memory:", isolation_level=None)])
    engine = create_engine(
        "sqlite://",
        creator=lambda: next(made, driver),
        poolclass=QueuePool,
        hide_parameters=True,  # an error must not carry a token or a name into a log
        pool_reset_on_return=None,
    )
    engine.connect().close()
    engine.dispose()
    return engine.connect()


class SchemaGuard:
    """Lets a check look at the schema before the first change, and before the first after each change of it.

    A program that runs on while another version migrates the file would otherwise write, into the new
    schema, what it meant in the old one; and a trigger that was planted meanwhile would swallow what it
    writes. What the check raises, a write raises.
    """

    def __init__(self) -> None:
        self._check: Callable[[Any], None] | None = None
        self._seen: tuple[int, int] | None = None

    def use(self, check: Callable[[Any], None]) -> None:
        """Use this check from now on."""
        self._check, self._seen = check, None

    def look(self, connection: Any) -> None:
        """Check the schema if it was not checked since it last changed."""
        if self._check is None:
            return
        version = driver_of(connection).execute("PRAGMA schema_version").fetchone()[0]
        seen = migrations(connection), int(version)
        if seen != self._seen:
            self._check(connection)
            self._seen = seen


def migrations(connection: Any) -> int:
    """Return how often the file was migrated."""
    return int(
        driver_of(connection).execute("PRAGMA user_version").fetchone()[0]
    )  # not by Core: each change asks


def has_table(connection: Any, name: str) -> bool:
    """Return whether the file has a table of that name."""
    row = driver_of(connection).execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
    )
    return row.fetchone() is not None


def open_connection(path: Path, *, patience: timedelta, query_only: bool) -> sqlite3.Connection:
    """Open the file and tell the connection how to work.

    Raises:
        sqlite3.Error: as the driver raises it.
    """
    # mode=rw: an operator who names a wrong directory must not get an empty database that knows no revocation
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=patience.total_seconds(),
        isolation_level=None,  # we say BEGIN ourselves
        check_same_thread=False,  # it is handed to one thread at a time
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA cache_size = -32000")  # KiB: indexes of random ids touch many pages
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_file(path: Path) -> None:
    """Make the file, and its directory if it is missing, for this user alone; keep what is there.

    SQLite gives its -wal and -shm files the mode and, if root opens them, the owner of this file.

    Raises:
        Unavailable: `store-unavailable`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            # Closing a second descriptor of an open database would drop the locks that SQLite holds
            # in this process: https://www.sqlite.org/howtocorrupt.html, section 2.2.
            return
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unavailable(
            "store-unavailable",
            f"the database cannot be made: {error.strerror}",
            hint="look at the file's directory: does it exist, and may this user write there?",
        ) from error
