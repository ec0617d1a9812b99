"""What SQLite's driver raised, in words of ours: busy, full, read-only, missing, damaged.

Not here: refusals that are part of a store's contract (`name-taken`); the stores raise those.
Whatever arrives here ended the transaction: nothing of it was kept.
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

_PRIMARY = 0xFF
"""The low byte of an extended result code is the primary one."""


_UNKNOWN = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the database cannot be used",
    "look at the file's directory: does it exist, and may this user write there?",
)
_DAMAGED = ErrorTemplate(
    IntegrityError,
    "store-damaged",
    "the database file is damaged or is no database",
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
        "there is no room left for the database",
        "make room on the file system of the data directory; nothing was half-written",
    ),
    sqlite3.SQLITE_READONLY: ErrorTemplate(
        Unavailable,
        "store-read-only",
        "the database cannot be written",
        "is the file system mounted read-only, or does the file belong to another user?",
    ),
    sqlite3.SQLITE_CANTOPEN: ErrorTemplate(
        Unavailable,
        "store-missing",
        "there is no database that this user can open",
        "run `doorward init`, or name the right directory with --data or DOORWARD_DATA",
    ),
}


def translate(error: sqlite3.Error | exc.DBAPIError | exc.TimeoutError) -> DoorwardError:
    """Return the error of ours that says what the driver's error means.

    Args:
        error: from the driver, or wrapped by SQLAlchemy.

    Returns:
        `Unavailable` where trying later may help, `IntegrityError` where it cannot; the driver's own
        symbol is in the context, its message is not.
    """
    if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "TimeoutError":
        return BUSY.build("pool-timeout")  # every connection of the pool is in use
    cause = getattr(error, "orig", error)
    number = getattr(cause, "sqlite_errorcode", None)
    if number is None:
        return _UNKNOWN.build(type(cause).__name__)
    template = _TEMPLATES.get(number & _PRIMARY, _UNKNOWN)
    return template.build(str(getattr(cause, "sqlite_errorname", number)))


@contextmanager
def translated() -> Iterator[None]:
    """Run a block in which the driver's errors leave as ours; the engines keep values out of the cause."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _kinds()):
            raise translate(error) from error
        raise


def _kinds() -> tuple[type[Any], ...]:
    """Return the driver's errors; SQLAlchemy wraps them, if it is loaded at all."""
    library = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error,) if library is None else (sqlite3.Error, library.DBAPIError, library.TimeoutError)
