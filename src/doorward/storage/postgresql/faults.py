"""Translates the errors of PostgreSQL's driver.

Not here: refusals that are part of a store's contract, such as `name-taken` (the stores raise those). Our errors
do not have the driver's error as their cause, because the server's message may quote the value that it refused.
Standard: https://www.postgresql.org/docs/current/errcodes-appendix.html (SQLSTATE).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable
from doorward.storage.faults import BUSY, CONTRADICTION, ErrorTemplate

if TYPE_CHECKING:
    from sqlalchemy import exc

_UNREACHABLE = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the PostgreSQL server cannot be reached, or it closed the connection",
    "check that the PostgreSQL server runs, and read its log",
)
_UNKNOWN = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the PostgreSQL server reported an unexpected error",
    "read the log of the PostgreSQL server",
)
_FULL = ErrorTemplate(
    Unavailable,
    "store-full",
    "the disk of the PostgreSQL server is full",
    "free space on the file system of the PostgreSQL server; nothing of the change was stored",
)
_READ_ONLY = ErrorTemplate(
    Unavailable,
    "store-read-only",
    "the database cannot be written: the server is a standby, or it is set to read-only",
    "name the primary server in the setting `database`; target_session_attrs=read-write finds it among several",
)
STANDBY = ErrorTemplate(
    Unavailable,
    "store-read-only",
    "the server is a standby, and its data may be older than a revocation",
    "name the primary server in the setting `database`, or name several hosts: Doorward uses the primary among them",
)
_FORBIDDEN = ErrorTemplate(
    Unavailable,
    "store-forbidden",
    "the user of the setting `database` lacks a right in the database",
    "make that user the owner of the tables",
)
_REFUSED = ErrorTemplate(
    Unavailable,
    "store-refused",
    "the PostgreSQL server refused the login",
    "check the user and the password: passfile=/path in the setting `database` names the password file, which needs "
    "mode 0600 and must belong to the user who runs Doorward",
)
_MISSING = ErrorTemplate(
    Unavailable,
    "store-missing",
    "the PostgreSQL server has no database of this name",
    "make it: createdb --template=template0 --encoding=UTF8 --locale=C --owner=USER NAME",
)
_DAMAGED = ErrorTemplate(
    IntegrityError,
    "store-damaged",
    "the PostgreSQL server found damaged data",
    "stop every Doorward process, keep a copy of the database, and restore the last backup",
)
_UNSURE = ErrorTemplate(
    Unavailable,
    "store-unsure",
    "the connection to the database was lost during a commit, so the change may have been stored or not",
    "check whether the change was stored before you repeat the command",
)
_STATES = {
    "25006": _READ_ONLY,
    "40001": BUSY,
    "40P01": BUSY,
    "42501": _FORBIDDEN,
    "53100": _FULL,
    "55P03": BUSY,
    "57014": BUSY,
    "3D000": _MISSING,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_CLASSES = {
    "08": _UNREACHABLE,
    "22": CONTRADICTION,
    "23": CONTRADICTION,
    "25": _UNREACHABLE,
    "28": _REFUSED,
    "53": _UNREACHABLE,
    "57": _UNREACHABLE,
}
_CONNECT_TEXTS = (
    ("does not exist", "database", _MISSING),
    ("does not exist", "role", _REFUSED),
    ("authentication failed", "", _REFUSED),
    ("no password supplied", "", _REFUSED),
    ("pg_hba.conf", "", _REFUSED),
    ("session is read-only", "", STANDBY),
    ("hot standby mode", "", STANDBY),
)
"""While connecting, libpq gives no SQLSTATE, only the server's text."""


def translate(error: psycopg.Error | exc.DBAPIError | exc.TimeoutError) -> DoorwardError:
    """Return our error for an error of the driver.

    Args:
        error: from the driver, or wrapped by SQLAlchemy.

    Returns:
        `Unavailable` if trying later may help, otherwise `IntegrityError`. The context has the SQLSTATE, but not the
        server's message.
    """
    if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "TimeoutError":
        return BUSY.build("pool-timeout")  # every connection of the pool is in use
    cause = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return _UNREACHABLE.build(type(cause).__name__)
    return (_STATES.get(state) or _CLASSES.get(state[:2]) or _UNKNOWN).build(state)


@contextmanager
def translated() -> Iterator[None]:
    """Run a block, and translate the driver's errors."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _kinds()):
            raise translate(error) from None
        raise


def _kinds() -> tuple[type[Any], ...]:
    """Return the error classes of the driver, and those of SQLAlchemy if it is loaded."""
    library = sys.modules.get("sqlalchemy.exc")
    if library is None:
        return (psycopg.Error,)
    return (psycopg.Error, library.DBAPIError, library.TimeoutError)


def translate_commit(error: Exception) -> Exception:
    """Return the error for a failed commit: if the connection was lost during it, the outcome is unknown."""
    cause = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    if isinstance(cause, psycopg.OperationalError) and (state is None or state.startswith(("08", "57P"))):
        return _UNSURE.build(state or type(cause).__name__)
    return error


@contextmanager
def translated_connect() -> Iterator[None]:
    """The same for opening a connection; libpq's own text is shown, which contains no value and no password."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is not None:
            raise translate(error) from None
        text = " ".join(str(error).split())
        found = next(
            (one for word, also, one in _CONNECT_TEXTS if word in text and also in text), _UNREACHABLE
        )
        raise Unavailable(found.code, f"{found.detail}: {text}", hint=found.hint) from None
