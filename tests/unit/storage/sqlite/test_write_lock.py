"""The lock between processes; two `WriteLock` of one file behave as two processes."""

from __future__ import annotations

import errno
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.storage.sqlite.write_lock import WriteLock

SHORT, LONG = timedelta(milliseconds=20), timedelta(seconds=20)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database file."""
    path = tmp_path / "doorward.db"
    path.write_bytes(b"")
    return path


def test_one_at_a_time(database: Path) -> None:
    """A second writer waits, and gets `store-busy` after the timeout."""
    first, second = WriteLock(database), WriteLock(database)
    with first.held(SHORT), pytest.raises(Unavailable) as caught, second.held(SHORT):
        pass
    assert caught.value.code == "store-busy"
    with second.held(SHORT):
        pass
    first.close()
    second.close()


def test_a_returning_writer_waits_behind_a_waiting_one(database: Path) -> None:
    """A writer without a pause cannot overtake a waiting one: they alternate."""
    order: list[str] = []
    first = WriteLock(database)
    inside = threading.Event()

    def other() -> None:
        second = WriteLock(database)
        inside.wait()
        with second.held(LONG):
            order.append("other")
        second.close()

    thread = threading.Thread(target=other)
    thread.start()
    with first.held(LONG):
        inside.set()
        while not _is_locked(database.with_name("doorward.db-next")):  # until the waiter waits
            pass
        order.append("first")
    with first.held(LONG):
        order.append("first")
    thread.join()
    assert order == ["first", "other", "first"]
    first.close()


def test_an_exception_releases_the_lock(database: Path) -> None:
    """The lock is free after a failed block."""
    first, second = WriteLock(database), WriteLock(database)
    with pytest.raises(KeyError), first.held(SHORT):
        raise KeyError
    with second.held(SHORT):
        pass
    first.close()
    second.close()


def test_a_close_while_the_lock_is_held_waits_for_its_end(database: Path) -> None:
    """The thread that holds it ends in order; a number that is used again must not be unlocked or closed."""
    lock, other = WriteLock(database), WriteLock(database)
    with lock.held(SHORT):
        lock.close()
        with pytest.raises(Unavailable), other.held(SHORT):
            pass
    assert lock._files is None
    with other.held(SHORT), pytest.raises(Unavailable), lock.held(SHORT):
        pass
    lock.close()
    other.close()
    assert lock._files is None


def test_the_files_are_closed_to_others(database: Path) -> None:
    """The lock files have mode 0600."""
    lock = WriteLock(database)
    with lock.held(SHORT):
        pass
    lock.close()
    lock.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in database.parent.glob("*-n*")}
    assert modes == {"doorward.db-next": 0o600, "doorward.db-now": 0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_files_to_the_owner_of_the_database(database: Path) -> None:
    """A command that root runs must not lock out the service."""
    os.chown(database, 65534, 65534)
    lock = WriteLock(database)
    with lock.held(SHORT):
        pass
    lock.close()
    assert {path.stat().st_uid for path in database.parent.iterdir()} == {65534}


def test_a_lock_file_that_root_is_just_making_is_waited_for(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until root's process has given it to the owner of the database, no other user can open it."""
    lock, tries = WriteLock(database), list[str]()
    open_file = os.open

    def refuse_once(path: Path, *more: int) -> int:
        tries.append(path.name)
        if tries == ["doorward.db-next"]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_file(path, *more)

    monkeypatch.setattr(os, "open", refuse_once)
    with lock.held(LONG):
        pass
    assert tries == ["doorward.db-next", "doorward.db-next", "doorward.db-now"]
    lock.close()


def test_no_database_no_lock(tmp_path: Path) -> None:
    """Without a database there is no lock, and no file is made."""
    with pytest.raises(Unavailable) as caught, WriteLock(tmp_path / "none.db").held(SHORT):
        pass
    assert caught.value.code == "store-missing"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["next", "now"])
def test_a_link_in_the_place_of_a_lock_is_refused(database: Path, name: str) -> None:
    """A symbolic link with the name of a lock file is not followed."""
    (database.parent / f"doorward.db-{name}").symlink_to("/nonexistent/file")
    with pytest.raises(Unavailable) as caught, WriteLock(database).held(SHORT):
        pass
    assert caught.value.code == "store-read-only"


def _is_locked(path: Path) -> bool:
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
