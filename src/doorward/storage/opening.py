"""Opening the database of an installation: the file in its data directory, or the server that a setting names.

Only this module knows the kinds of databases. A kind is imported when it is chosen (docs/design/0049).
"""

from __future__ import annotations

import importlib
from contextlib import closing
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault
from doorward.storage.backend import Database


def open_database(address: str, file: Path, *, one_shot: bool = False) -> Database:
    """Return the database; connections are opened on first use.

    Args:
        address: of a PostgreSQL database, without a password; empty for SQLite's file.
        file: the SQLite file.
        one_shot: for a process of one command: no pools, and Core is loaded only if a statement needs it.

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
        from doorward.storage.sqlite.one_shot import OneShotSqlite  # noqa: PLC0415  only this kind

        return OneShotSqlite(file)
    from doorward.storage.sqlite.database import SqliteDatabase  # noqa: PLC0415  needs Core

    return SqliteDatabase(file)


def load_driver(address: str) -> None:
    """Import the modules of that kind of database now, while the process may still read their files.

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
                    message="the setting `database` names a PostgreSQL server, but its driver psycopg is not installed",
                    hint="install it: pip install 'doorward[postgresql]'",
                    key="database",
                )
            ]
        ) from None


def _import(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def erase(address: str) -> None:
    """Drop every table of Doorward in a PostgreSQL database: for the demonstration, which made them."""
    load_driver(address)
    from doorward.storage.postgresql.database import PostgresqlDatabase  # noqa: PLC0415  as above

    with closing(PostgresqlDatabase(address)) as database:
        database.erase()
