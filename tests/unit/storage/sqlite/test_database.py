"""The database: its file, and the settings of its connections."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage.sqlite import file as module
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.file import open_connection
from tests.support.sql_store import sqlite_database

ADD = text("INSERT INTO change_counters (tenant, value) VALUES ('ten_one', 1)")
COUNT = text("SELECT count(*) FROM change_counters")


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "what?.db", "a%20b#c.db", "größe.db"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    """Characters that mean something in a URL are part of the name."""
    database = SqliteDatabase(tmp_path / name)
    database.create()
    assert database.path == tmp_path / name
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    database.close()
    assert (tmp_path / name).stat().st_size > 0


def test_file_and_directory_are_closed_to_others(tmp_path: Path) -> None:
    """The file is made with mode 0600 in a directory with 0700, and so are SQLite's own files."""
    database = SqliteDatabase(tmp_path / "db" / "doorward.db")
    database.create()
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "db").iterdir()}
    database.close()
    assert {"doorward.db", "doorward.db-wal", "doorward.db-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_creating_twice_keeps_what_is_there(tmp_path: Path) -> None:
    """An existing file is not changed."""
    database = sqlite_database(tmp_path)
    with database.write() as connection:
        connection.execute(ADD)
    database.create()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar() == 1
    database.close()


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """A file in the place of the directory is one of our errors."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable) as caught:
        SqliteDatabase(tmp_path / "file" / "doorward.db").create()
    assert caught.value.code == "store-unavailable"


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_missing_file_is_not_made_by_using_it(tmp_path: Path, way: str) -> None:
    """A wrong directory must not become an empty database that knows no revocation."""
    database = SqliteDatabase(tmp_path / "none.db")
    with pytest.raises(Unavailable) as caught, getattr(database, way)():
        pass
    assert caught.value.code == "store-missing"
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("way", ["read", "write"])
def test_connections_are_durable_and_strict(tmp_path: Path, way: str) -> None:
    """Every connection keeps WAL, synchronous=FULL, foreign keys and the timeout."""
    database = sqlite_database(tmp_path, busy_timeout=timedelta(milliseconds=250))
    with getattr(database, way)() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
        }
    database.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 250,
        "query_only": int(way == "read"),
    }


def test_the_readers_are_bounded(tmp_path: Path) -> None:
    """One reader too many waits for the timeout, then gets `store-busy`."""
    database = sqlite_database(tmp_path, readers=1, busy_timeout=timedelta(milliseconds=20))
    with database.read(), pytest.raises(Unavailable) as caught, database.read():
        pass
    assert caught.value.code == "store-busy"
    with database.read() as connection:
        assert connection.execute(COUNT).scalar() == 0
    database.close()


def test_a_reader_does_not_hold_its_snapshot_after_its_end(tmp_path: Path) -> None:
    """A connection that is used again sees the commits made meanwhile."""
    database = sqlite_database(tmp_path, readers=1)
    with database.read() as connection:
        assert connection.execute(COUNT).scalar() == 0
    with database.write() as connection:
        connection.execute(ADD)
    with database.read() as connection:
        assert connection.execute(COUNT).scalar() == 1
    database.close()


def test_a_lock_of_another_program_is_busy(tmp_path: Path) -> None:
    """If a process without our lock holds SQLite's lock, a change waits and then fails without effect."""
    database = sqlite_database(tmp_path, busy_timeout=timedelta(milliseconds=20))
    with closing(sqlite3.connect(tmp_path / "doorward.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught, database.write():
            pass
        assert caught.value.code == "store-busy"
        other.execute("ROLLBACK")
        with database.write() as connection:
            connection.execute(ADD)
    database.close()


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    """A file that is no database is an integrity error, and is not changed."""
    path = tmp_path / "doorward.db"
    path.write_bytes(b"not a database, for sure " * 400)
    before = path.read_bytes()
    with pytest.raises(IntegrityError) as caught, SqliteDatabase(path).read():
        pass
    assert caught.value.code == "store-damaged"
    assert path.read_bytes() == before


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    """Reading a page that was overwritten stops with an integrity error."""
    database = sqlite_database(tmp_path)
    with database.write() as connection:
        for number in range(2000):
            connection.execute(
                text("INSERT INTO change_counters (tenant, value) VALUES (:tenant, 1)"),
                {"tenant": f"ten_{number:020}"},
            )
    database.close()
    path = tmp_path / "doorward.db"
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 4096 // 2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    database = SqliteDatabase(path)
    with pytest.raises(IntegrityError) as caught, database.read() as connection:
        connection.execute(text("SELECT sum(value), max(tenant) FROM change_counters NOT INDEXED")).all()
    assert caught.value.code == "store-damaged"
    database.close()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A change that finds no space is rolled back as a whole; smaller changes still succeed."""
    database = sqlite_database(tmp_path)
    with pytest.raises(Unavailable) as caught, database.write() as connection:  # noqa: PT012  # the block is the point
        connection.exec_driver_sql("PRAGMA max_page_count = 100")
        connection.execute(ADD)
        connection.execute(
            text("INSERT INTO log_leaves VALUES ('ten_one', 0, 'evt_one', zeroblob(1000000), x'00')")
        )
    assert caught.value.code == "store-full"
    with database.write() as connection:
        assert connection.execute(COUNT).scalar() == 0
        connection.execute(ADD)
    database.close()


def test_threads_share_one_database(tmp_path: Path) -> None:
    """Readers on other threads go on while a change is open."""
    database = sqlite_database(tmp_path)
    seen: list[int | None] = []
    with database.write() as connection:
        connection.execute(ADD)

        def look() -> None:
            with database.read() as other:
                seen.append(other.execute(COUNT).scalar())

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    database.close()
    assert seen == [0]


def test_a_file_that_root_is_just_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until root's process has given the -wal file to the owner of the database, no other user can open it."""
    database = sqlite_database(tmp_path)
    database.close()
    unusable = tmp_path / "doorward.db-wal"
    unusable.mkdir()  # a directory cannot be opened even by root, who may run this test
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_connection(database.path, timeout=timedelta(0), query_only=False)
    monkeypatch.setattr(module.time, "sleep", lambda _: unusable.rmdir())
    with closing(open_connection(database.path, timeout=timedelta(hours=1), query_only=False)) as connection:
        assert connection.execute("SELECT count(*) FROM change_counters").fetchone() == (0,)
