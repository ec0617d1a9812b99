"""Translates the errors of SQLite's driver: busy, full, read-only, missing, damaged.

Not here: refusals that are part of a store's contract, such as `name-taken` (the stores raise those). Each of these
errors has ended the transaction, and nothing of the transaction was stored.
Standard: SQLite result codes, https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable
from doorward.storage.faults import BUSY, CONTRADICTION, ErrorTemplate

if TYPE_CHECKING:
    from sqlalchemy import exc

PRIMARY_CODE_MASK = 0xFF
"""The low byte of an extended result code is the primary one."""


_UNKNOWN = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the database cannot be used",
    "check that the directory of the file exists, and that this user may write there",
)
_DAMAGED = ErrorTemplate(
    IntegrityError,
    "store-damaged",
    "the database file is damaged, or it is not a SQLite database",
    "stop every Doorward process, keep a copy of the file, and restore the last backup",
)
_TEMPLATES = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_CONSTRAINT: CONTRADICTION,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: ErrorTemplate(
        Unavailable,
        "store-full",
        "the disk of the database is full",
        "free space on the file system of the data directory; nothing of the change was stored",
    ),
    sqlite3.SQLITE_READONLY: ErrorTemplate(
        Unavailable,
        "store-read-only",
        "the database cannot be written",
        "check that the file system is not mounted read-only, and that the file belongs to this user",
    ),
    sqlite3.SQLITE_CANTOPEN: ErrorTemplate(
        Unavailable,
        "store-missing",
        "the database file is missing, or this user cannot open it",
        "name the right directory with --data or DOORWARD_DATA; for a new installation run `doorward init`",
    ),
}


def translate(error: sqlite3.Error | exc.DBAPIError | exc.TimeoutError) -> DoorwardError:
    """Return our error for an error of the driver.

    Args:
        error: from the driver, or wrapped by SQLAlchemy.

    Returns:
        `Unavailable` if trying later may help, otherwise `IntegrityError`. The context has the driver's symbol, but
        not its message.
    """
    if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "TimeoutError":
        return BUSY.build("pool-timeout")  # every connection of the pool is in use
    cause = getattr(error, "orig", error)
    number = getattr(cause, "sqlite_errorcode", None)
    if number is None:
        return _UNKNOWN.build(type(cause).__name__)
    template = _TEMPLATES.get(number & PRIMARY_CODE_MASK, _UNKNOWN)
    return template.build(str(getattr(cause, "sqlite_errorname", number)))


@contextmanager
def translated() -> Iterator[None]:
    """Run a block, and translate the driver's errors; the engines keep values out of their messages."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _kinds()):
            raise translate(error) from error
        raise


def _kinds() -> tuple[type[Any], ...]:
    """Return the error classes of the driver, and those of SQLAlchemy if it is loaded."""
    library = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error,) if library is None else (sqlite3.Error, library.DBAPIError, library.TimeoutError)
