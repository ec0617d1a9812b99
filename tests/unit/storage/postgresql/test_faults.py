"""The errors of PostgreSQL's driver become ours."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import exc

from doorward.core.errors import DoorwardError, IntegrityError, Unavailable
from doorward.storage.postgresql.faults import translate, translate_commit, translated, translated_connect


@pytest.mark.parametrize(
    ("kind", "ours", "code"),
    [
        (errors.LockNotAvailable, Unavailable, "store-busy"),
        (errors.SerializationFailure, Unavailable, "store-busy"),
        (errors.DeadlockDetected, Unavailable, "store-busy"),
        (errors.QueryCanceled, Unavailable, "store-busy"),
        (errors.DiskFull, Unavailable, "store-full"),
        (errors.ReadOnlySqlTransaction, Unavailable, "store-read-only"),
        (errors.InsufficientPrivilege, Unavailable, "store-forbidden"),
        (errors.InvalidPassword, Unavailable, "store-refused"),
        (errors.InvalidCatalogName, Unavailable, "store-missing"),
        (errors.AdminShutdown, Unavailable, "store-unavailable"),
        (errors.TooManyConnections, Unavailable, "store-unavailable"),
        (errors.IdleInTransactionSessionTimeout, Unavailable, "store-unavailable"),
        (errors.DataCorrupted, IntegrityError, "store-damaged"),
        (errors.UniqueViolation, IntegrityError, "store-contradiction"),
        (errors.UntranslatableCharacter, IntegrityError, "store-contradiction"),
    ],
)
def test_each_sqlstate_has_its_error(kind: type[psycopg.Error], ours: type[DoorwardError], code: str) -> None:
    """The SQLSTATE, or its class, selects the error; each error has a hint."""
    error = translate(kind("near secret-token"))
    assert type(error) is ours
    assert error.code == code
    assert error.hint
    assert error.context == {"driver": kind.sqlstate}


def test_the_servers_own_text_stays_inside() -> None:
    """The server's message may quote a value, so it is neither repeated nor the cause of what is raised."""
    with pytest.raises(IntegrityError) as caught, translated():
        raise exc.IntegrityError("INSERT", {}, errors.UniqueViolation("Key (name)=(secret-token) exists"))
    assert "secret-token" not in f"{caught.value} {caught.value.hint} {caught.value.context}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_lost_connection_is_unavailable() -> None:
    """An error without a state is a connection that broke."""
    assert translate(psycopg.OperationalError("server closed")).code == "store-unavailable"


def test_an_empty_pool_is_busy() -> None:
    """Waiting in vain for a connection is waiting in vain for the database."""
    assert translate(exc.TimeoutError()).code == "store-busy"


def test_a_connection_lost_in_a_commit_is_unsure() -> None:
    """The answer to a commit that never came is not "nothing was changed"; a refused commit is."""
    for error in (psycopg.OperationalError("server closed"), errors.AdminShutdown("ended")):
        lost = translate_commit(error)
        assert isinstance(lost, Unavailable)
        assert lost.code == "store-unsure"
    refused = errors.SerializationFailure("no")
    assert translate_commit(refused) is refused


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('FATAL: database "nowhere" does not exist', "store-missing"),
        ('FATAL: password authentication failed for user "u"', "store-refused"),
        ("fe_sendauth: no password supplied", "store-refused"),
        ('FATAL: no pg_hba.conf entry for host "h"', "store-refused"),
        ("Connection refused", "store-unavailable"),
        ('FATAL: role "u" does not exist', "store-refused"),
    ],
)
def test_a_failed_connect_says_why(text: str, code: str) -> None:
    """While connecting, libpq's own text is shown: it contains no value of ours, and an administrator needs it."""
    with pytest.raises(Unavailable) as caught, translated_connect():
        raise psycopg.OperationalError(f"connection failed:\n\t{text}")
    assert caught.value.code == code
    assert text in caught.value.detail
    assert "\n" not in caught.value.detail
