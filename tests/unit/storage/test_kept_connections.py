"""Connections that are kept: what one transaction leaves is not seen by the next one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from doorward.storage.kept_connections import KeptConnections

COUNT = text("SELECT count(*) FROM things")
ADD = text("INSERT INTO things VALUES (1)")


@pytest.fixture
def opened() -> list[sqlite3.Connection]:
    """The connections of the driver, in the order in which they were opened."""
    return []


@pytest.fixture
def kept(tmp_path: Path, opened: list[sqlite3.Connection]) -> Iterator[KeptConnections]:
    """At most one connection to a table without rows."""

    def open_file() -> sqlite3.Connection:
        opened.append(sqlite3.connect(tmp_path / "a.db", check_same_thread=False))
        opened[-1].execute("CREATE TABLE IF NOT EXISTS things (a INTEGER)")
        return opened[-1]

    engine = create_engine("sqlite://", creator=open_file, poolclass=QueuePool, pool_size=1, max_overflow=0)
    made = KeptConnections(engine, most=1, timeout_seconds=0.02)
    yield made
    made.close()


def test_a_connection_is_used_again(kept: KeptConnections, opened: list[sqlite3.Connection]) -> None:
    """The next block gets the connection of the last one, also in another thread."""
    with kept.connect() as first:
        pass
    found = []

    def take() -> None:
        with kept.connect() as again:
            found.append(again)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert found == [first]
    assert len(opened) == 1


def test_what_was_not_committed_is_rolled_back(kept: KeptConnections) -> None:
    """A transaction ends with its block, also if an error ends the block."""
    with kept.connect() as connection:
        connection.execute(ADD)
    with suppress(KeyError), kept.connect() as connection:
        connection.execute(ADD)
        raise KeyError
    with kept.connect() as connection:
        assert connection.execute(COUNT).scalar() == 0


def test_what_was_committed_stays(kept: KeptConnections) -> None:
    """The rollback at the end touches nothing that was committed."""
    with kept.connect() as connection:
        connection.execute(ADD)
        connection.commit()
    with kept.connect() as connection:
        assert connection.execute(COUNT).scalar() == 1


def test_one_too_many_waits_and_fails(kept: KeptConnections) -> None:
    """After the time a thread gets the error of SQLAlchemy's pool, and later a connection."""
    with kept.connect(), pytest.raises(PoolTimeout), kept.connect():
        pass
    with kept.connect() as connection:
        assert connection.execute(COUNT).scalar() == 0


def test_a_failed_commit_that_was_caught_leaves_no_transaction(kept: KeptConnections) -> None:
    """The next block can begin its own transaction, and does not see what was not committed."""

    def fail(_connection: object) -> None:
        raise KeyError

    with kept.connect() as connection:
        connection.execute(ADD)
        event.listen(connection.engine, "commit", fail)
        with suppress(KeyError):
            connection.commit()
        event.remove(connection.engine, "commit", fail)
        connection.connection.rollback()
    with kept.connect() as connection:
        connection.begin()
        assert connection.execute(COUNT).scalar() == 0


def _break(kept: KeptConnections, opened: list[sqlite3.Connection]) -> None:
    with kept.connect() as connection:
        connection.execute(ADD)
        opened[0].close()


def test_a_broken_connection_is_replaced(kept: KeptConnections, opened: list[sqlite3.Connection]) -> None:
    """If the rollback fails, the error is raised, and the next block gets a new connection."""
    with pytest.raises(ProgrammingError):
        _break(kept, opened)
    with kept.connect() as connection:
        assert connection.execute(COUNT).scalar() == 0
    assert len(opened) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_connection_in_use_at_the_end_is_closed_after_its_block(
    kept: KeptConnections, opened: list[sqlite3.Connection], *, fails: bool
) -> None:
    """A thread that outlives the stop must not keep the file open: SQLite would not fold its log into the database."""
    with suppress(KeyError), kept.connect() as connection:
        kept.close()
        assert connection.execute(COUNT).scalar() == 0
        if fails:
            raise KeyError
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
