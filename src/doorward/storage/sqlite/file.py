"""The SQLite file: how it is opened, what every connection is told, and which schema it is written with.

Not here: pools and threads (`database`), one transaction after another (`one_shot`). Nothing here needs
SQLAlchemy, so that a command that runs a few statements does not load it.
Standard: https://www.sqlite.org/wal.html and /pragma.html.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from doorward.core.errors import Unavailable
from doorward.storage.backend import SchemaGuard, ServerHealth
from doorward.storage.connection import driver_of
from doorward.storage.sqlite.catalogue import SqliteCatalogue
from doorward.storage.sqlite.reserve import DiskReserve
from doorward.storage.sqlite.write_lock import WriteLock

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


class DatabaseFile:
    """What the pooled database and that of one command have in common.

    Args:
        path: the file, absolute.
        timeout: how long a transaction waits for its turn.
    """

    def __init__(self, path: Path, timeout: timedelta) -> None:
        self.path = path
        self.timeout = timeout
        self.catalogue = SqliteCatalogue()
        self.guard = SchemaGuard(_read_version)
        self.write_lock = WriteLock(path)
        self.reserve = DiskReserve(path)

    def exists(self) -> bool:
        """Return whether there is a file; its content is looked at when it is used."""
        return self.path.exists()

    def create(self) -> None:
        """Make the file if it is missing: see `make_file`."""
        make_file(self.path)

    def announce(self, connection: Any) -> None:
        """Do nothing: every follower is on this machine, and is woken after the commit."""

    def listening(self, notify: Callable[[], None]) -> AbstractContextManager[None]:  # noqa: ARG002  as above
        """Return a context in which nothing is listened to, for the same reason."""
        return nullcontext()

    def is_low(self) -> bool:
        """Return whether so little is free that traffic is refused; False if that cannot be known."""
        return self.reserve.is_low()

    def check_health(self) -> ServerHealth | None:
        """Return None: a file has no server, and the room on its disk is told with the disk."""
        return None

    def check_changes_with(self, check: Callable[[Any], None]) -> None:
        """Let `check` look at the schema before the first change, and before the first after each change of it."""
        self.guard.use(check)

    def count_migration(self, connection: Any) -> None:
        """Tell every program that has the file open of a migration, with the commit of `connection`."""
        driver_of(connection).execute(f"PRAGMA user_version = {_migrations(connection) + 1}")

    def open(self, *, query_only: bool) -> sqlite3.Connection:
        """Open the file; raises as the driver does."""
        self.reserve.drop_ballast()
        return open_connection(self.path, timeout=self.timeout, query_only=query_only)


def _migrations(connection: Any) -> int:
    return int(driver_of(connection).execute("PRAGMA user_version").fetchone()[0])


def _read_version(connection: Any) -> tuple[int, int]:
    """Return how often the file was migrated, and how often its schema was altered."""
    altered = driver_of(connection).execute("PRAGMA schema_version").fetchone()[0]
    return _migrations(connection), int(altered)


def open_connection(path: Path, *, timeout: timedelta, query_only: bool) -> sqlite3.Connection:
    """Open the file and tell the connection how to work.

    Raises:
        sqlite3.Error: as the driver raises it.
    """
    # mode=rw: an operator who names a wrong directory must not get an empty database that knows no revocation
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=timeout.total_seconds(),
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
