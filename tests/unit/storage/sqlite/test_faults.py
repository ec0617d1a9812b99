"""The driver's errors become ours."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import exc

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable
from doorward.storage.sqlite.faults import translate, translated


def driver_error(code: int, name: str = "SQLITE_X") -> sqlite3.Error:
    """An error as the driver raises it."""
    error = sqlite3.OperationalError("near secret-token")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (sqlite3.SQLITE_BUSY, Unavailable, "store-busy"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Unavailable, "store-busy"),
        (sqlite3.SQLITE_LOCKED, Unavailable, "store-busy"),
        (sqlite3.SQLITE_FULL, Unavailable, "store-full"),
        (sqlite3.SQLITE_READONLY, Unavailable, "store-read-only"),
        (sqlite3.SQLITE_READONLY_DBMOVED, Unavailable, "store-read-only"),
        (sqlite3.SQLITE_CANTOPEN, Unavailable, "store-missing"),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable, "store-unavailable"),
        (sqlite3.SQLITE_CORRUPT, IntegrityError, "store-damaged"),
        (sqlite3.SQLITE_NOTADB, IntegrityError, "store-damaged"),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, IntegrityError, "store-contradiction"),
    ],
)
def test_each_result_code_has_its_error(number: int, kind: type[DoorwardError], code: str) -> None:
    """Extended result codes map as their primary code; each error has a hint."""
    error = translate(driver_error(number, "SQLITE_NAME"))
    assert type(error) is kind
    assert error.code == code
    assert error.hint
    assert error.context == {"driver": "SQLITE_NAME"}


def test_the_driver_s_own_text_stays_inside() -> None:
    """The driver's message may quote a value, so it is not repeated."""
    with pytest.raises(Unavailable) as caught, translated():
        raise exc.OperationalError("SELECT 1", {}, driver_error(sqlite3.SQLITE_IOERR))
    assert "secret-token" not in f"{caught.value} {caught.value.hint} {caught.value.context}"


def test_errors_without_a_code_are_unavailable() -> None:
    """A driver error without a code is translated too."""
    error = translate(sqlite3.ProgrammingError("closed"))
    assert (error.code, error.context) == ("store-unavailable", {"driver": "ProgrammingError"})


def test_an_empty_pool_is_busy() -> None:
    """Waiting in vain for a connection is waiting in vain for the database."""
    assert translate(exc.TimeoutError()).code == "store-busy"


def test_faults_of_the_program_are_not_hidden() -> None:
    """An error of SQLAlchemy that does not come from the database is not translated."""
    with pytest.raises(exc.CompileError), translated():
        raise exc.CompileError
