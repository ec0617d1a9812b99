"""A PostgreSQL database: the settings of its connections, and the loss of connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage.connection import core_of, driver_of
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.schema_versions import require_current
from tests.support.postgresql import PASSWORD, Server
from tests.support.sql_store import one_shot_postgresql, postgresql_database

ADD = text("INSERT INTO change_counters (tenant, value) VALUES ('ten_one', 1)")
COUNT = text("SELECT count(*) FROM change_counters")


@pytest.fixture
def database(postgresql: Server) -> Iterator[PostgresqlDatabase]:
    """An empty database with our schema."""
    with closing(postgresql_database(postgresql.cleared())) as database:
        yield database


def setting(connection: object, name: str) -> str:
    """The server's settings of this session."""
    return str(driver_of(connection).execute(f"SHOW {name}").fetchone()[0])


@pytest.mark.parametrize("kind", [postgresql_database, one_shot_postgresql])
def test_connections_that_the_server_ended_are_replaced(
    postgresql: Server, kind: Callable[[str], PostgresqlDatabase]
) -> None:
    """A restart of the server fails no transaction that begins after it."""
    with closing(kind(postgresql.cleared())) as database:
        with database.read() as one, database.read() as two, database.write() as three:
            pids = [driver_of(each).info.backend_pid for each in (one, two, three)]
        for pid in pids:
            postgresql.run(f"SELECT pg_terminate_backend({pid}, 10000)")
        for _ in range(3):
            with database.read() as connection:
                assert core_of(connection).execute(COUNT).scalar_one() == 0
        with database.write() as connection:
            core_of(connection).execute(ADD)


def test_an_ignored_error_commits_nothing(postgresql: Server) -> None:
    """PostgreSQL answers the commit of a failed transaction with a rollback and no error; we raise an error."""
    for kind in (postgresql_database, one_shot_postgresql):
        with closing(kind(postgresql.cleared())) as database:
            with pytest.raises(Unavailable), database.write() as connection:  # noqa: PT012  # the block is the point
                core_of(connection).execute(ADD)
                with suppress(psycopg.Error):
                    driver_of(connection).execute("SELECT 1/0")
            with database.read() as connection:
                assert core_of(connection).execute(COUNT).scalar_one() == 0


@pytest.mark.parametrize("way", ["read", "write"])
def test_connections_are_durable_and_strict(postgresql: Server, way: str) -> None:
    """Readers see one snapshot and cannot write; a commit is on disk; every wait has a timeout."""
    address = postgresql.cleared()
    postgresql.run("ALTER ROLE doorward SET synchronous_commit = off")
    try:
        with closing(postgresql_database(address, busy_timeout=timedelta(milliseconds=250))) as database:  # noqa: SIM117
            with getattr(database, way)() as connection:
                found = {
                    name: setting(connection, name)
                    for name in (
                        "transaction_isolation",
                        "transaction_read_only",
                        "synchronous_commit",
                        "lock_timeout",
                        "idle_in_transaction_session_timeout",
                    )
                }
    finally:
        postgresql.run("ALTER ROLE doorward RESET synchronous_commit")
    assert found == {
        "transaction_isolation": "repeatable read" if way == "read" else "read committed",
        "transaction_read_only": "on" if way == "read" else "off",
        "synchronous_commit": "on",
        "lock_timeout": "250ms",
        "idle_in_transaction_session_timeout": "1h" if way == "read" else "1min",
    }


def test_a_change_sees_what_was_committed_while_it_waited(database: PostgresqlDatabase) -> None:
    """The first read of a change happens after it has the lock."""
    seen: list[int] = []
    ready = threading.Event()

    def second() -> None:
        ready.set()
        with database.write() as connection:
            seen.append(connection.execute(COUNT).scalar_one())

    thread = threading.Thread(target=second)
    with database.write() as connection:
        thread.start()
        ready.wait()
        connection.execute(ADD)
    thread.join()
    assert seen == [1]


def test_the_readers_are_bounded(postgresql: Server) -> None:
    """One reader too many waits for the timeout, then gets `store-busy`."""
    address = postgresql.cleared()
    with closing(
        postgresql_database(address, readers=1, busy_timeout=timedelta(milliseconds=20))
    ) as database:
        with database.read(), pytest.raises(Unavailable) as caught, database.read():
            pass
        assert caught.value.code == "store-busy"


def test_an_error_inside_a_change_undoes_that_change_alone(database: PostgresqlDatabase) -> None:
    """A failed statement loses only its own change; another change of the shared commit is kept."""
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with database.write() as connection:
            connection.execute(ADD)
            inside.set()
            go.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(60)

    def second() -> None:
        with pytest.raises(IntegrityError) as caught, database.write() as connection:
            connection.execute(ADD)
        assert caught.value.code == "store-contradiction"

    other = threading.Thread(target=second)
    other.start()
    go.set()
    thread.join()
    other.join()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 1


def test_a_large_result_stays_on_the_server(database: PostgresqlDatabase) -> None:
    """A million rows are fetched in batches, and other statements run in between."""
    many = DriverStatement("SELECT n FROM generate_series(1, :last) AS n", large=True)
    with database.read() as connection:
        rows = many.rows(connection, {"last": 1_000_000})
        assert next(rows) == (1,)
        assert driver_of(connection).execute("SELECT count(*) FROM pg_cursors").fetchone() == (1,)
        rows.close()  # type: ignore[attr-defined]  # it is a generator
        assert driver_of(connection).execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)


def test_a_server_that_is_not_there_is_unavailable(postgresql: Server) -> None:
    """Unreachable, unknown, refused: each has its own error, and no message contains the password."""
    nowhere = postgresql.url("nowhere")
    locked = postgresql.url("postgres", role="locked")
    for address, code in (
        ("postgresql:///x?host=/tmp/there-is-no-such-folder", "store-unavailable"),
        (nowhere, "store-missing"),
        (locked, "store-refused"),
        (postgresql.url("postgres", role="stranger"), "store-refused"),
    ):
        with closing(PostgresqlDatabase(address)) as database:
            for way in (database.read, database.write):
                with pytest.raises(Unavailable) as caught, way():
                    pass
                assert caught.value.code == code


def test_a_password_comes_from_a_file(postgresql: Server, tmp_path: Path) -> None:
    """A password file of libpq works; a wrong password is refused and not repeated in the message."""
    file = tmp_path / "pgpass"
    address = postgresql.url("postgres", role="locked", options=f"&passfile={file}")
    for word, works in ((PASSWORD, True), ("wrong-secret", False)):
        file.write_text(f"*:*:*:locked:{word}\n")
        file.chmod(0o600)
        with closing(PostgresqlDatabase(address)) as database:
            if works:
                assert not database.exists()
                continue
            with pytest.raises(Unavailable) as caught, database.read():
                pass
            assert caught.value.code == "store-refused"
            assert word not in f"{caught.value.detail}{caught.value.hint}{caught.value.context}"


def test_a_running_process_writes_nothing_into_another_schema(postgresql: Server) -> None:
    """A program that opened the database before a migration may change nothing after it."""
    with closing(postgresql_database(postgresql.migrated())) as database:
        require_current(database)
        with database.write():
            pass
        with closing(postgresql_database(database.url)) as other, other.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        for _ in range(2):
            with pytest.raises(Unavailable) as caught, database.write():
                pass
            assert caught.value.code == "schema-newer"
