"""What PostgreSQL's driver raised, in words of ours.

Not here: refusals that are part of a store's contract (`name-taken`); the stores raise those.
The cause is left out of what is raised: the server's message may quote the value that it refused.
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

_AWAY = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the database cannot be reached, or ended the connection",
    "look whether the PostgreSQL server runs, and what its log says",
)
_UNKNOWN = ErrorTemplate(
    Unavailable,
    "store-unavailable",
    "the database cannot be used",
    "look at the log of the PostgreSQL server",
)
_FULL = ErrorTemplate(
    Unavailable,
    "store-full",
    "there is no room left for the database",
    "make room on the file system of the PostgreSQL server; nothing was half-written",
)
_READ_ONLY = ErrorTemplate(
    Unavailable,
    "store-read-only",
    "the database cannot be written: the server is a standby, or was set to read only",
    "name the primary server in the setting `database`; target_session_attrs=read-write finds it among several",
)
STANDBY = ErrorTemplate(
    Unavailable,
    "store-read-only",
    "the server is a standby: what it shows may be older than a revocation",
    "name the primary server in the setting `database`, or several hosts: the primary among them is used",
)
_FORBIDDEN = ErrorTemplate(
    Unavailable,
    "store-forbidden",
    "this user of the database may not do that",
    "the tables must belong to the user that the setting `database` names",
)
_REFUSED = ErrorTemplate(
    Unavailable,
    "store-refused",
    "the database does not let this user in",
    "look at user and password: passfile=/path in the setting `database` names a file with the password, "
    "mode 0600, of the user who runs Doorward",
)
_MISSING = ErrorTemplate(
    Unavailable,
    "store-missing",
    "the server has no such database",
    "make it: createdb --template=template0 --encoding=UTF8 --locale=C --owner=USER NAME",
)
_DAMAGED = ErrorTemplate(
    IntegrityError,
    "store-damaged",
    "the database is damaged",
    "stop every Doorward process, keep a copy of the database, and restore the last backup",
)
_UNSURE = ErrorTemplate(
    Unavailable,
    "store-unsure",
    "the connection to the database was lost during a commit: the change may have been made",
    "look whether it was made before you repeat it",
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
    "08": _AWAY,
    "22": CONTRADICTION,
    "23": CONTRADICTION,
    "25": _AWAY,
    "28": _REFUSED,
    "53": _AWAY,
    "57": _AWAY,
}
_WORDS = (
    ("does not exist", "database", _MISSING),
    ("does not exist", "role", _REFUSED),
    ("authentication failed", "", _REFUSED),
    ("no password supplied", "", _REFUSED),
    ("pg_hba.conf", "", _REFUSED),
    ("session is read-only", "", STANDBY),
    ("hot standby mode", "", STANDBY),
)
"""At the connect libpq hands over no SQLSTATE, only the server's text."""


def translate(error: psycopg.Error | exc.DBAPIError | exc.TimeoutError) -> DoorwardError:
    """Return the error of ours that says what the driver's error means.

    Args:
        error: from the driver, or wrapped by SQLAlchemy.

    Returns:
        `Unavailable` where trying later may help, `IntegrityError` where it cannot; the SQLSTATE is in
        the context, the server's message is not.
    """
    if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "TimeoutError":
        return BUSY.build("pool-timeout")  # every connection of the pool is in use
    cause = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return _AWAY.build(type(cause).__name__)
    return (_STATES.get(state) or _CLASSES.get(state[:2]) or _UNKNOWN).build(state)


@contextmanager
def translated() -> Iterator[None]:
    """Run a block in which the driver's errors leave as ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _kinds()):
            raise translate(error) from None
        raise


def _kinds() -> tuple[type[Any], ...]:
    """Return the driver's errors; SQLAlchemy wraps them, if it is loaded at all."""
    library = sys.modules.get("sqlalchemy.exc")
    if library is None:
        return (psycopg.Error,)
    return (psycopg.Error, library.DBAPIError, library.TimeoutError)


def translate_commit(error: Exception) -> Exception:
    """Return what a failed commit means: where the connection was lost or ended in it, it is not known whether the change was made."""
    cause = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    if isinstance(cause, psycopg.OperationalError) and (state is None or state.startswith(("08", "57P"))):
        return _UNSURE.build(state or type(cause).__name__)
    return error


@contextmanager
def translated_connect() -> Iterator[None]:
    """The same for opening a connection: libpq's own text is shown, which holds no value and no password."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is not None:
            raise translate(error) from None
        text = " ".join(str(error).split())
        found = next((one for word, also, one in _WORDS if word in text and also in text), _AWAY)
        raise Unavailable(found.code, f"{found.detail}: {text}", hint=found.hint) from None
