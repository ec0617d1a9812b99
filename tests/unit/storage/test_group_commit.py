"""Writers of one process stand in line, and share commits where they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage.sqlite.database import SqliteDatabase
from tests.support.sql_store import sqlite_database

ADD = text("INSERT INTO change_counters (tenant, value) VALUES (:name, 1)")
NAMES = text("SELECT tenant FROM change_counters ORDER BY tenant")


class Town:
    """A database whose commits are counted, and threads that change it when they are told."""

    def __init__(self, folder: Path, timeout: timedelta) -> None:
        self.database = sqlite_database(folder, busy_timeout=timeout)
        self.commits = 0
        self.errors: dict[str, BaseException] = {}
        self.threads: list[threading.Thread] = []
        event.listen(self.database._writers, "commit", self._count)

    def _count(self, connection: Connection) -> None:
        self.commits += 1

    def add(self, name: str) -> None:
        """Add a row in a change."""
        with self.database.write() as connection:
            connection.execute(ADD, {"name": name})

    def queue(self, name: str, work: Callable[[], None] | None = None) -> threading.Thread:
        """Start a thread that does the work, and return once it stands in line."""
        waiting = len(self.database._writer._waiting)
        thread = self._start(lambda: self._run(name, work or (lambda: self.add(name))))
        while len(self.database._writer._waiting) == waiting and thread.is_alive():
            pass
        return thread

    def queue_free(self, name: str, work: Callable[[], None]) -> None:
        """Start a thread that does the work, and return at once."""
        self._start(lambda: self._run(name, work))

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.errors[name] = error

    def _start(self, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        """Wait for every thread."""
        for thread in self.threads:
            thread.join()

    def names(self) -> list[str]:
        """The committed rows."""
        with self.database.read() as connection:
            return list(connection.execute(NAMES).scalars())


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A town whose people are patient."""
    town = Town(tmp_path, timedelta(seconds=20))
    yield town
    town.join()
    town.database.close()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Town]:
    """A town whose people wait for 50 ms."""
    town = Town(tmp_path, timedelta(milliseconds=50))
    yield town
    town.join()
    town.database.close()


def test_one_writer_commits_at_once(town: Town) -> None:
    """Without others there is nothing to share."""
    town.add("a")
    town.add("b")
    assert (town.names(), town.commits) == (["a", "b"], 2)


def test_those_in_line_share_a_commit(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that waited for each other are committed by one commit."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)
    with town.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        for name in "bcd":
            town.queue(name)
    town.join()
    assert (town.names(), town.commits) == (["a", "b", "c", "d"], 1)
    assert town.errors == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_MEMBERS", 1), ("MAX_SECONDS", 0)])
def test_a_commit_is_shared_by_so_many_for_so_long(
    town: Town, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """A full or old transaction takes in nobody else."""
    monkeypatch.setattr(f"doorward.storage.group_commit.{limit}", value)
    with town.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        town.queue("b")
    town.join()
    assert (town.names(), town.commits) == (["a", "b"], 2)


def test_a_change_that_fails_is_undone_alone(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the middle undoes its own change; those before and after it are kept."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)

    def fail() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            raise KeyError

    with town.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        town.queue("b", fail)
        town.queue("c")
    town.join()
    assert (town.names(), town.commits) == (["a", "c"], 1)
    assert {name: type(error) for name, error in town.errors.items()} == {"b": KeyError}


def test_the_first_and_the_last_may_fail(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands in the group, a change that fails takes nobody with it."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)

    def fail() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "z"})
            raise KeyError

    def first() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "y"})
            town.queue("b")
            town.queue("z", fail)
            raise KeyError

    town.queue("y", first).join()
    town.join()
    assert town.names() == ["b"]
    assert town.errors.keys() == {"y", "z"}


def test_nobody_returns_before_the_commit(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change whose transaction is still open has not ended."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)
    ended, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            ended.wait(0.05)
            assert not ended.is_set()
            assert town.names() == []
            go_on.set()

    def first() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "a"})
            town.queue("b", slow)
        ended.set()

    town.queue("a", first)
    assert go_on.wait(20)
    town.join()
    assert town.errors == {}
    assert town.names() == ["a", "b"]


def test_a_commit_that_fails_fails_for_all(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the one commit is refused, every change in it is undone and told so."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)

    def poison() -> None:
        with town.database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            connection.execute(text("INSERT INTO group_members VALUES ('per_none', 'grp_none', 'ten_one')"))

    with pytest.raises(IntegrityError), town.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        town.queue("b", poison)
    town.join()
    assert isinstance(town.errors["b"], IntegrityError)
    assert town.names() == []
    town.add("c")
    assert town.names() == ["c"]


def test_a_transaction_that_sqlite_undid_is_lost_for_all(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full SQLite may undo the whole: nobody in it is told that it was kept."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)

    def undo_all() -> None:
        with town.database.write() as connection:
            connection.exec_driver_sql("ROLLBACK")  # as SQLITE_FULL and SQLITE_IOERR do

    with pytest.raises(Unavailable), town.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        town.queue("b", undo_all)
        town.queue("c")
    town.join()
    assert isinstance(town.errors["b"], Unavailable)
    assert town.names() == ["c"]


def test_waiting_in_line_has_an_end(hasty: Town) -> None:
    """Whoever waits too long leaves the line; the others are not held up."""
    with hasty.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        hasty.queue("b").join()
    assert isinstance(hasty.errors["b"], Unavailable)
    hasty.add("c")
    assert hasty.names() == ["a", "c"]


def test_a_change_is_not_committed_after_its_caller_gave_up(
    hasty: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the next in line hangs, the one before is told that it failed, and it did."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)
    gave_up = threading.Event()

    def hang() -> None:
        with hasty.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            assert gave_up.wait(20)

    with pytest.raises(Unavailable), hasty.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        hasty.queue("b", hang)
    gave_up.set()
    hasty.join()
    assert isinstance(hasty.errors["b"], Unavailable)
    assert hasty.names() == []
    hasty.add("c")
    assert hasty.names() == ["c"]


def test_a_database_that_cannot_be_opened_does_not_block_the_line(tmp_path: Path) -> None:
    """A failed start passes the turn on: the second caller gets the same answer at once."""
    database = SqliteDatabase(tmp_path / "none.db")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught, database.write():
            pass
        assert caught.value.code == "store-missing"


class InterruptedWait(threading.Event):
    """An event whose waiting ends as the person at the keyboard ends it."""

    def wait(self, timeout: float | None = None) -> bool:
        """Raise what Ctrl-C raises."""
        raise KeyboardInterrupt


def test_who_is_interrupted_in_line_leaves_it(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting for the turn changes nothing and holds up nobody."""
    with town.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        with monkeypatch.context() as patch:
            patch.setattr("doorward.storage.group_commit.threading.Event", InterruptedWait)
            with pytest.raises(KeyboardInterrupt):
                town.database._writer._enter()
    town.add("c")
    assert town.names() == ["a", "c"]


@pytest.mark.parametrize("seconds", [0, 60], ids=["free", "shared"])
def test_who_is_interrupted_as_the_turn_comes_hands_it_on(
    town: Town, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Where the turn had come already, it goes to the next, and what others left open is committed."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", seconds)
    queued, go_on = threading.Event(), threading.Event()

    class CalledThenInterrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            queued.set()
            assert super().wait(20)
            raise KeyboardInterrupt

    def interrupted() -> None:
        monkeypatch.setattr("doorward.storage.group_commit.threading.Event", CalledThenInterrupted)
        town.database._writer._enter()

    def first() -> None:
        with town.database.write() as connection:
            connection.execute(ADD, {"name": "a"})
            go_on.set()
            assert queued.wait(20)

    town.queue_free("a", first)
    assert go_on.wait(20)
    town.queue_free("b", interrupted)
    town.join()
    monkeypatch.undo()
    assert {name: type(error) for name, error in town.errors.items()} == {"b": KeyboardInterrupt}
    town.add("c")
    assert town.names() == ["a", "c"]


def test_an_interrupted_commit_is_told_to_the_others(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Ctrl-C hits the commit, nobody in it is told that his change was kept."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)

    def interrupt(connection: Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Unavailable) as caught, town.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        event.listen(town.database._writers, "commit", interrupt)
        town.queue("b")
    town.join()
    event.remove(town.database._writers, "commit", interrupt)
    assert caught.value.code == "store-interrupted"
    assert isinstance(town.errors["b"], KeyboardInterrupt)
    assert town.names() == []
    town.add("c")
    assert town.names() == ["c"]
