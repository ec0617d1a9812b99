"""A mark of a SQLite file changes with each commit, also of another process, and is never taken for that of another connection."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from doorward.storage.sqlite.data_version import DataVersion
from doorward.stores.records import ChangeKind
from tests.support.ports import NOON
from tests.support.sql_store import sql_work, sqlite_database


def test_a_commit_of_another_program_changes_the_mark(tmp_path: Path) -> None:
    """It has its own connections to the same file."""
    with closing(sqlite_database(tmp_path)) as ours, closing(sqlite_database(tmp_path)) as theirs:
        mark = ours.commit_marks()
        before = mark()
        assert before is not None
        assert mark() == before
        with sql_work(theirs).change() as stores:
            stores.changes.note(ChangeKind.PRINCIPAL, "per_1", NOON)
        assert mark() not in (None, before)


def test_a_file_that_is_missing_has_no_mark(tmp_path: Path) -> None:
    """The caller then reads, and the error is raised there."""
    database = sqlite_database(tmp_path)
    with closing(database):
        path = tmp_path / "doorward.db"
        away = path.rename(tmp_path / "away")
        mark = database.commit_marks()
        assert mark() is None
        away.rename(path)
        assert mark() is not None


def test_marks_of_two_connections_differ(tmp_path: Path) -> None:
    """SQLite begins to count with each connection: after an error the number says nothing of what was before."""
    with closing(sqlite_database(tmp_path)) as database:
        opened = []

        def open_one():
            opened.append(database.open(query_only=True))
            return opened[-1]

        version = DataVersion(open_one)
        first = version.read()
        opened[0].close()  # as an error of the disk would do
        assert version.read() is None
        second = version.read()
        assert None not in (first, second)
        assert first != second
        version.close()


def test_after_the_end_there_is_no_mark(tmp_path: Path) -> None:
    """The connection is closed with the database, so that the last process moves the write-ahead log into the file."""
    database = sqlite_database(tmp_path)
    mark = database.commit_marks()
    assert mark() is not None
    database.close()
    assert mark() is None
    assert not (tmp_path / "doorward.db-wal").exists()
