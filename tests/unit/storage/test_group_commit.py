"""Writers of one process queue, and waiting writers share commits."""

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


class Writers:
    """A database with counted commits, and threads that change it on request."""

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
        """Start a thread that does the work, and return when it waits in the queue."""
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
def writers(tmp_path: Path) -> Iterator[Writers]:
    """Writers with a long timeout."""
    writers = Writers(tmp_path, timedelta(seconds=20))
    yield writers
    writers.join()
    writers.database.close()


@pytest.fixture
def impatient_writers(tmp_path: Path) -> Iterator[Writers]:
    """Writers with a timeout of 50 ms."""
    writers = Writers(tmp_path, timedelta(milliseconds=50))
    yield writers
    writers.join()
    writers.database.close()


def test_one_writer_commits_at_once(writers: Writers) -> None:
    """Without others there is nothing to share."""
    writers.add("a")
    writers.add("b")
    assert (writers.names(), writers.commits) == (["a", "b"], 2)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared commit may wait for as many changes as come."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", 60)


def test_waiting_writers_share_a_commit(writers: Writers, unhurried: None) -> None:
    """Changes that waited for each other are committed by one commit."""
    with writers.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        for name in "bcd":
            writers.queue(name)
    writers.join()
    assert (writers.names(), writers.commits) == (["a", "b", "c", "d"], 1)
    assert writers.errors == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_MEMBERS", 1), ("MAX_SECONDS", 0)])
def test_a_shared_commit_has_a_size_and_a_time_limit(
    writers: Writers, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """No further change joins a full or old transaction."""
    monkeypatch.setattr(f"doorward.storage.group_commit.{limit}", value)
    with writers.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        writers.queue("b")
    writers.join()
    assert (writers.names(), writers.commits) == (["a", "b"], 2)


def test_a_failed_change_is_rolled_back_alone(writers: Writers, unhurried: None) -> None:
    """An exception rolls back its own change only; the changes before and after it are kept."""

    def fail() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            raise KeyError

    with writers.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        writers.queue("b", fail)
        writers.queue("c")
    writers.join()
    assert (writers.names(), writers.commits) == (["a", "c"], 1)
    assert {name: type(error) for name, error in writers.errors.items()} == {"b": KeyError}


def test_the_first_and_the_last_may_fail(writers: Writers, unhurried: None) -> None:
    """A failed change loses no other change, at any position in the group."""

    def fail() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "z"})
            raise KeyError

    def first() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "y"})
            writers.queue("b")
            writers.queue("z", fail)
            raise KeyError

    writers.queue("y", first).join()
    writers.join()
    assert writers.names() == ["b"]
    assert writers.errors.keys() == {"y", "z"}


def test_no_change_returns_before_the_commit(writers: Writers, unhurried: None) -> None:
    """A change returns only after its transaction is committed."""
    ended, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            ended.wait(0.05)
            assert not ended.is_set()
            assert writers.names() == []
            go_on.set()

    def first() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "a"})
            writers.queue("b", slow)
        ended.set()

    writers.queue("a", first)
    assert go_on.wait(60)
    writers.join()
    assert writers.errors == {}
    assert writers.names() == ["a", "b"]


def test_a_failed_commit_fails_every_change(writers: Writers, unhurried: None) -> None:
    """If the shared commit is refused, every change in it is rolled back and raises."""

    def poison() -> None:
        with writers.database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            connection.execute(text("INSERT INTO group_members VALUES ('per_none', 'grp_none', 'ten_one')"))

    with pytest.raises(IntegrityError), writers.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        writers.queue("b", poison)
    writers.join()
    assert isinstance(writers.errors["b"], IntegrityError)
    assert writers.names() == []
    writers.add("c")
    assert writers.names() == ["c"]


def test_a_transaction_that_sqlite_undid_is_lost_for_all(writers: Writers, unhurried: None) -> None:
    """On a full disk SQLite may roll back the whole transaction: then every change in it raises."""

    def undo_all() -> None:
        with writers.database.write() as connection:
            connection.exec_driver_sql("ROLLBACK")  # as SQLITE_FULL and SQLITE_IOERR do

    with pytest.raises(Unavailable), writers.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        writers.queue("b", undo_all)
        writers.queue("c")
    writers.join()
    assert isinstance(writers.errors["b"], Unavailable)
    assert writers.names() == ["c"]


def test_waiting_has_a_timeout(impatient_writers: Writers) -> None:
    """A writer that waits too long leaves the queue; the others are not delayed."""
    with impatient_writers.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        impatient_writers.queue("b").join()
    assert isinstance(impatient_writers.errors["b"], Unavailable)
    impatient_writers.add("c")
    assert impatient_writers.names() == ["a", "c"]


def test_a_change_is_not_committed_after_its_caller_gave_up(
    impatient_writers: Writers, unhurried: None
) -> None:
    """If the next writer hangs, the change before it raises and is not stored."""
    gave_up = threading.Event()

    def hang() -> None:
        with impatient_writers.database.write() as connection:
            connection.execute(ADD, {"name": "b"})
            assert gave_up.wait(60)

    with pytest.raises(Unavailable), impatient_writers.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        impatient_writers.queue("b", hang)
    gave_up.set()
    impatient_writers.join()
    assert isinstance(impatient_writers.errors["b"], Unavailable)
    assert impatient_writers.names() == []
    impatient_writers.add("c")
    assert impatient_writers.names() == ["c"]


def test_a_database_that_cannot_be_opened_does_not_block_the_queue(tmp_path: Path) -> None:
    """After a failed start the next caller gets the same error at once."""
    database = SqliteDatabase(tmp_path / "none.db")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught, database.write():
            pass
        assert caught.value.code == "store-missing"


class InterruptedWait(threading.Event):
    """An event with a wait that Ctrl-C interrupts."""

    def wait(self, timeout: float | None = None) -> bool:
        """Raise as Ctrl-C does."""
        raise KeyboardInterrupt


def test_an_interrupted_writer_leaves_the_queue(writers: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting changes nothing and delays no other writer."""
    with writers.database.write() as connection:
        connection.execute(ADD, {"name": "a"})
        with monkeypatch.context() as patch:
            patch.setattr("doorward.storage.group_commit.threading.Event", InterruptedWait)
            with pytest.raises(KeyboardInterrupt):
                writers.database._writer._enter()
    writers.add("c")
    assert writers.names() == ["a", "c"]


@pytest.mark.parametrize("seconds", [0, 60], ids=["free", "shared"])
def test_a_writer_interrupted_when_called_calls_the_next(
    writers: Writers, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """If the writer was already called, the next one is called, and the open changes of others are committed."""
    monkeypatch.setattr("doorward.storage.group_commit.MAX_SECONDS", seconds)
    queued, go_on = threading.Event(), threading.Event()

    class CalledThenInterrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            queued.set()
            assert super().wait(60)
            raise KeyboardInterrupt

    def interrupted() -> None:
        monkeypatch.setattr("doorward.storage.group_commit.threading.Event", CalledThenInterrupted)
        writers.database._writer._enter()

    def first() -> None:
        with writers.database.write() as connection:
            connection.execute(ADD, {"name": "a"})
            go_on.set()
            assert queued.wait(60)

    writers.queue_free("a", first)
    assert go_on.wait(60)
    writers.queue_free("b", interrupted)
    writers.join()
    monkeypatch.undo()
    assert {name: type(error) for name, error in writers.errors.items()} == {"b": KeyboardInterrupt}
    writers.add("c")
    assert writers.names() == ["a", "c"]


def test_an_interrupted_commit_raises_in_the_others(writers: Writers, unhurried: None) -> None:
    """If Ctrl-C interrupts the commit, every change in it raises."""

    def interrupt(connection: Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Unavailable) as caught, writers.database.write() as connection:  # noqa: PT012  # the block is the point
        connection.execute(ADD, {"name": "a"})
        event.listen(writers.database._writers, "commit", interrupt)
        writers.queue("b")
    writers.join()
    event.remove(writers.database._writers, "commit", interrupt)
    assert caught.value.code == "store-interrupted"
    assert isinstance(writers.errors["b"], KeyboardInterrupt)
    assert writers.names() == []
    writers.add("c")
    assert writers.names() == ["c"]
