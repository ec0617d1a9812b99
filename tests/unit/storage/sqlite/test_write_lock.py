"""The queue between processes; two `WriteLock` of one file are two processes to each other."""

from __future__ import annotations

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
    """A file to queue for."""
    path = tmp_path / "doorward.db"
    path.write_bytes(b"")
    return path


def test_one_at_a_time(database: Path) -> None:
    """Whoever comes while the turn is taken waits, and is told when it takes too long."""
    first, second = WriteLock(database), WriteLock(database)
    with first.held(SHORT), pytest.raises(Unavailable) as caught, second.held(SHORT):
        pass
    assert caught.value.code == "store-busy"
    with second.held(SHORT):
        pass
    first.close()
    second.close()


def test_who_comes_back_stands_behind_who_waits(database: Path) -> None:
    """A writer without a pause cannot pass one that waits: the turns alternate."""
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


def test_an_exception_frees_the_turn(database: Path) -> None:
    """The turn is free after a block that failed."""
    first, second = WriteLock(database), WriteLock(database)
    with pytest.raises(KeyError), first.held(SHORT):
        raise KeyError
    with second.held(SHORT):
        pass
    first.close()
    second.close()


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
    """A command line run by root must not shut the service out."""
    os.chown(database, 65534, 65534)
    lock = WriteLock(database)
    with lock.held(SHORT):
        pass
    lock.close()
    assert {path.stat().st_uid for path in database.parent.iterdir()} == {65534}


def test_no_database_no_turn(tmp_path: Path) -> None:
    """Without a database there is nothing to queue for, and no file is made."""
    with pytest.raises(Unavailable) as caught, WriteLock(tmp_path / "none.db").held(SHORT):
        pass
    assert caught.value.code == "store-missing"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["next", "now"])
def test_a_link_in_the_place_of_a_lock_is_refused(database: Path, name: str) -> None:
    """The lock files are never reached through a link that somebody planted."""
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
