"""Which database an installation has: the file in its data directory, or the one that a setting names.

The one module that knows the kinds of databases; each is imported when it is chosen (docs/design/0049).
"""

from __future__ import annotations

import importlib
from contextlib import closing
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault
from doorward.storage.backend import Database


def open_database(address: str, file: Path, *, one_shot: bool = False) -> Database:
    """Return the database; nothing is opened before it is used.

    Args:
        address: of a PostgreSQL database, without a password; empty for SQLite's file.
        file: the SQLite file.
        one_shot: for a process of one command: no pools, and no Core before a statement asks for it.

    Raises:
        ConfigurationError: `driver-missing`.
    """
    if address:
        _require_psycopg()
        if one_shot:
            from doorward.storage.postgresql.one_shot import OneShotPostgresql  # noqa: PLC0415  its driver is optional

            return OneShotPostgresql(address)
        from doorward.storage.postgresql.database import PostgresqlDatabase  # noqa: PLC0415  its driver is optional

        return PostgresqlDatabase(address)
    if one_shot:
        from doorward.storage.sqlite.one_shot import OneShotDatabase  # noqa: PLC0415  only this kind

        return OneShotDatabase(file)
    from doorward.storage.sqlite.database import SqliteDatabase  # noqa: PLC0415  needs Core

    return SqliteDatabase(file)


def load_driver(address: str) -> None:
    """Import what the database of that address needs and others do not, now: while it can be read.

    Raises:
        ConfigurationError: `driver-missing`.
    """
    if not address:
        _import("doorward.storage.sqlite.database", "sqlalchemy.dialects.sqlite.pysqlite")
        return
    _require_psycopg()
    _import(
        "doorward.storage.postgresql.database",
        "doorward.storage.postgresql.core_view",
        "sqlalchemy.dialects.postgresql.psycopg",
    )


def _require_psycopg() -> None:
    try:
        _import("psycopg")
    except ImportError:
        raise ConfigurationError(
            [
                Fault(
                    code="driver-missing",
                    message="the database is PostgreSQL, and its driver psycopg is not installed",
                    hint="install it: pip install 'doorward[postgresql]'",
                    key="database",
                )
            ]
        ) from None


def _import(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def erase(address: str) -> None:
    """Drop every table of ours in a PostgreSQL database: for the demonstration, which made them."""
    load_driver(address)
    from doorward.storage.postgresql.database import PostgresqlDatabase  # noqa: PLC0415  as above

    with closing(PostgresqlDatabase(address)) as database:
        database.erase()
