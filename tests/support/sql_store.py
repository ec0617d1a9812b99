"""Real SQLite databases for tests: migrated once in this process, then copied; and processes that share one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doorward.core.ports import ChangeNotifier
from doorward.storage.backend import Database
from doorward.storage.schema_versions import migrate
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.one_shot import OneShotSqlite
from doorward.storage.unit_of_work import SqlUnitOfWork
from tests.support.ports import CountingNotifier, FakeRandom

if TYPE_CHECKING:
    from doorward.storage.postgresql.database import PostgresqlDatabase
    from doorward.storage.postgresql.one_shot import OneShotPostgresql

PATIENCE = timedelta(seconds=20)
"""How long the databases of tests wait for another writer: a slow disk must not fail a test."""


@cache
def template() -> bytes:
    """The bytes of an empty migrated database."""
    folder = Path(tempfile.mkdtemp(prefix="doorward-template-"))
    try:
        database = SqliteDatabase(folder / "template.db")
        migrate(database)
        database.close()
        return (folder / "template.db").read_bytes()
    finally:
        shutil.rmtree(folder)


def sqlite_database(folder: Path, *, busy_timeout: timedelta = PATIENCE, readers: int = 8) -> SqliteDatabase:
    """Return an empty migrated database in that folder, or the one that is there."""
    path = folder / "doorward.db"
    if not path.exists():
        path.write_bytes(template())
        path.chmod(0o600)
    return SqliteDatabase(path, busy_timeout=busy_timeout, readers=readers)


def one_shot_database(folder: Path) -> OneShotSqlite:
    """Return the same database as a process of one command has it."""
    sqlite_database(folder).close()
    return OneShotSqlite(folder / "doorward.db", busy_timeout=PATIENCE)


def sql_work(
    database: Database, *, notifier: ChangeNotifier | None = None, seed: str = "seed"
) -> SqlUnitOfWork:
    """Return the unit of work over it, with repeatable salts."""
    return SqlUnitOfWork(
        database, random=FakeRandom(seed), notifier=notifier if notifier is not None else CountingNotifier()
    )


def postgresql_database(
    url: str, *, busy_timeout: timedelta = PATIENCE, readers: int = 8
) -> PostgresqlDatabase:
    """Return a PostgreSQL database; see `postgresql.Server` for addresses."""
    from doorward.storage.postgresql.database import PostgresqlDatabase  # its driver is optional

    return PostgresqlDatabase(url, busy_timeout=busy_timeout, readers=readers)


def one_shot_postgresql(url: str) -> OneShotPostgresql:
    """Return the same database as a process of one command has it."""
    from doorward.storage.postgresql.one_shot import OneShotPostgresql  # as above

    return OneShotPostgresql(url, busy_timeout=PATIENCE)


def database_at(
    place: Path | str, *, busy_timeout: timedelta = PATIENCE
) -> SqliteDatabase | PostgresqlDatabase:
    """Return the SQLite database in a folder, or the PostgreSQL database of an address."""
    if isinstance(place, Path):
        return sqlite_database(place, busy_timeout=busy_timeout)
    return postgresql_database(place, busy_timeout=busy_timeout)


def child(place: Path | str, code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a process of its own on the database at `place`; `code` finds it as `database` and `work`."""
    script = f"""
import sys, time
from datetime import timedelta
from pathlib import Path
from doorward.stores.records import ChangeKind
from doorward.storage.schema_versions import migrate
from tests.support.events import request_answered
from tests.support.ports import NOON
from tests.support.records import certificate, invitation, principal
from pathlib import PosixPath
from tests.support.sql_store import database_at, sql_work
database = database_at({place!r}, busy_timeout=timedelta(seconds=20))
work = sql_work(database, seed=str(time.monotonic()))
"""
    root = Path(__file__).parents[2]
    return subprocess.Popen(  # our own interpreter and our own text
        [sys.executable, "-c", script + textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
        **options,
    )
