"""The SQLite file: making and opening it, and the settings of every connection.

Not here: pools and threads (`database`), one transaction after another (`one_shot`). This module does not need
SQLAlchemy, so that a command with a few statements does not load it.
Standard: https://www.sqlite.org/wal.html and /pragma.html.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from doorward.core.errors import Unavailable
from doorward.storage.backend import SchemaGuard, ServerHealth
from doorward.storage.connection import driver_of
from doorward.storage.sqlite.catalogue import SqliteCatalogue
from doorward.storage.sqlite.data_version import DataVersion
from doorward.storage.sqlite.faults import PRIMARY_CODE_MASK
from doorward.storage.sqlite.remains import Remains
from doorward.storage.sqlite.reserve import DiskReserve
from doorward.storage.sqlite.write_lock import LONGEST_OPENING_SECONDS, OPENING_PAUSE_SECONDS, WriteLock

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = FULL",  # a commit that returned survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",  # a manipulated file must not run functions through its views
    "PRAGMA cell_size_check = ON",  # find a damaged page before it is copied
    "PRAGMA temp_store = MEMORY",  # sorting must not need another disk, which may be full
    "PRAGMA journal_size_limit = 67108864",  # a log that grew during a long read transaction is made smaller again
    "PRAGMA cache_size = -4000",  # KiB; the kernel caches the rest
)

_IMPATIENT = timedelta(milliseconds=50)
"""How long the removal of remains keeps other writers waiting."""

_UNSEEN_TRIES = 20  # the files may have been given to us, or be gone, before we look at them


class DatabaseFile:
    """The common part of the pooled database and the database of one command.

    Args:
        path: the file, absolute.
        timeout: how long a transaction waits for the lock or a free connection.
    """

    def __init__(self, path: Path, timeout: timedelta) -> None:
        self.path = path
        self.timeout = timeout
        self.catalogue = SqliteCatalogue()
        self.guard = SchemaGuard(_read_version)
        self.write_lock = WriteLock(path)
        self.reserve = DiskReserve(path)
        self._remains = Remains(path, self._open_impatient)
        self._data_versions: list[DataVersion] = []

    def exists(self) -> bool:
        """Return whether there is a file; its content is checked on first use."""
        return self.path.exists()

    def create(self) -> None:
        """Make the file if it is missing: see `make_file`."""
        make_file(self.path)

    def commit_marks(self) -> Callable[[], object | None]:
        """Return a function with equal results only if nothing was committed in between; None if the file cannot be read."""
        made = DataVersion(lambda: self.open(query_only=True))
        self._data_versions.append(made)
        return made.read

    def close(self) -> None:
        """Close what this class has opened."""
        for one in self._data_versions:
            one.close()
        self.write_lock.close()

    def notify_on_commit(self, connection: Any) -> None:
        """Do nothing: every follower is on this machine, and is notified after the commit."""

    def listening(self, notify: Callable[[], None]) -> AbstractContextManager[None]:  # noqa: ARG002  as above
        """Return a context that does nothing, for the same reason."""
        return nullcontext()

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Note that values are erased in the block: their copies in the write-ahead log must go too."""
        with ExitStack() as stack:
            self._expect(stack)
            yield

    def _expect(self, stack: ExitStack) -> None:
        try:
            stack.enter_context(self._remains.expected())
        except OSError as error:
            raise Unavailable(
                "store-unavailable",
                f"no file can be made beside the database {self.path}: {error.strerror}",
                hint="check that this user may write there; nothing was erased",
            ) from error

    def remove_remains(self) -> bool:
        """Remove copies of erased values; return False if a reader or another erasure prevents it now."""
        return self._remains.remove()

    def _open_impatient(self) -> sqlite3.Connection:
        return open_connection(self.path, timeout=_IMPATIENT, query_only=False)

    def is_low(self) -> bool:
        """Return whether so little disk space is free that traffic is refused; False if that is unknown."""
        return self.reserve.is_low()

    def server_clock(self) -> datetime | None:
        """Return None: a file has no server."""
        return None

    def check_health(self) -> ServerHealth | None:
        """Return None: a file has no server, and the status reports the disk itself."""
        return None

    def set_schema_check(self, check: Callable[[Any], None]) -> None:
        """Run `check` before the first change, and again before the next change after the schema was altered."""
        self.guard.set_check(check)

    def record_migration(self, connection: Any) -> None:
        """Let every program that has the file open notice a migration, when `connection` commits."""
        driver_of(connection).execute(f"PRAGMA user_version = {_migrations(connection) + 1}")

    def open(self, *, query_only: bool) -> sqlite3.Connection:
        """Open the file; raises as the driver does."""
        self.reserve.drop_ballast()
        return open_connection(self.path, timeout=self.timeout, query_only=query_only)


def _migrations(connection: Any) -> int:
    return int(driver_of(connection).execute("PRAGMA user_version").fetchone()[0])


def _read_version(connection: Any) -> tuple[int, int]:
    """Return how many times the file was migrated, and how many times its schema was altered."""
    altered = driver_of(connection).execute("PRAGMA schema_version").fetchone()[0]
    return _migrations(connection), int(altered)


def open_connection(path: Path, *, timeout: timedelta, query_only: bool) -> sqlite3.Connection:
    """Open the file and set up the connection.

    If root's process is the first that opens the file, SQLite makes the -wal and -shm files there and gives them to the
    owner of the database only afterwards. In between no other user can open the database, so it is tried again.

    Raises:
        sqlite3.Error: as the driver raises it.
    """
    ends_at, tries = time.monotonic() + min(timeout.total_seconds(), LONGEST_OPENING_SECONDS), 0
    while True:
        try:
            return _open_once(path, timeout=timeout, query_only=query_only)
        except sqlite3.OperationalError as error:
            if (
                getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE_MASK != sqlite3.SQLITE_CANTOPEN
                or time.monotonic() >= ends_at
                or not os.access(path, os.R_OK | os.W_OK)
                or not (tries < _UNSEEN_TRIES or _is_being_made(path))
            ):
                raise
        tries += 1
        time.sleep(OPENING_PAUSE_SECONDS)


def _is_being_made(path: Path) -> bool:
    """Return whether there is a -wal or -shm file that this user may not open."""
    beside = (path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm"))
    return any(one.exists() and not os.access(one, os.R_OK | os.W_OK) for one in beside)


def _open_once(path: Path, *, timeout: timedelta, query_only: bool) -> sqlite3.Connection:
    # mode=rw: a wrong directory must not give an empty database without revocations
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=timeout.total_seconds(),
        isolation_level=None,  # our code sends BEGIN
        check_same_thread=False,  # one thread at a time uses it
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA cache_size = -32000")  # KiB: indexes of random ids touch many pages
            connection.execute("PRAGMA secure_delete = ON")  # deleted values are overwritten with zeros
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_file(path: Path) -> None:
    """Make the file, and its directory if it is missing, for this user only; an existing file is not changed.

    SQLite gives its -wal and -shm files the mode of this file, and if root opens it, also its owner.

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
            f"the database file {path} cannot be made: {error.strerror}",
            hint="check that the directory exists, and that this user may write there",
        ) from error
