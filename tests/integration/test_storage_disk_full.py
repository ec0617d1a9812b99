"""On a full disk changes are refused and stored data stays; changes work again after space was freed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.storage.keystore import FileKeyStore
from doorward.storage.sqlite.reserve import FILLER_ROWS
from tests.support.ports import PlainKeys
from tests.support.records import certificate
from tests.support.small_disk import fill
from tests.support.small_disk import small_disk as mounted
from tests.support.sql_store import one_shot_database, sql_work, sqlite_database

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    with mounted(tmp_path / "disk", megabytes=3, mode="0700") as folder:
        yield folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB: its preallocated log has room for a checkpoint's pages and those of one filler row."""
    with mounted(tmp_path / "disk", megabytes=96, mode="0700") as folder:
        yield folder


def test_a_full_disk(small_disk: Path) -> None:
    """Changes fail with `store-full` until space is freed; every committed change is stored, and no part of another."""
    database = sqlite_database(small_disk)
    work = sql_work(database)
    ballast = small_disk / "ballast"
    committed = 0
    with pytest.raises(Unavailable) as caught:  # noqa: PT012  # until it is full
        while True:
            with work.change() as stores:
                for number in range(20 * committed, 20 * committed + 20):
                    stores.certificates.add_intended(certificate(number, der=b"x" * 4000))
            committed += 1
            with suppress(OSError):  # the last bytes are the database's
                ballast.write_bytes(b"x" * min(1_000_000, 50_000 * committed))
    assert caught.value.code in {"store-full", "store-unavailable"}
    assert caught.value.hint
    with work.read() as stores:
        assert stores.certificates.counts()["intended"] == 20 * committed
    ballast.unlink()
    with work.change() as stores:
        stores.certificates.add_intended(certificate(10**6))
    with work.read() as stores:
        assert stores.certificates.counts()["intended"] == 20 * committed + 1
    database.close()


def test_withdrawals_succeed_on_a_full_disk(disk: Path) -> None:
    """Traffic is refused early; changes of an administrator still succeed, in the reserved space."""
    database = sqlite_database(disk)
    work = sql_work(database)
    for number in range(5):
        with work.change() as stores:
            stores.certificates.add_intended(certificate(number))
    while database.maintain():
        pass
    with work.change(traffic=True):
        pass
    fill(disk)
    with pytest.raises(Unavailable) as caught, work.change(traffic=True):
        pass
    assert caught.value.code == "store-full"
    assert caught.value.hint
    for number in range(5, 205):
        with work.change() as stores:
            stores.certificates.add_intended(certificate(number, der=b"x" * 2000))
    with work.read() as stores:
        assert stores.certificates.counts()["intended"] == 205
    # The parts are stopped: SQLite's log goes, and somebody takes that room too.
    database.close()
    fill(disk)
    database = sqlite_database(disk)
    with sql_work(database).change() as stores:
        stores.certificates.add_intended(certificate(999))
    database.close()


def test_a_command_withdraws_on_a_full_disk(disk: Path) -> None:
    """If no other process runs, the command finds the reserved space, and so does the next one."""
    database = sqlite_database(disk)
    while database.maintain():
        pass
    database.close()
    fill(disk)
    for number in range(3):
        command = one_shot_database(disk)
        with sql_work(command).change() as stores:
            stores.certificates.add_intended(certificate(number))
        with pytest.raises(Unavailable), command.write(traffic=True):
            pass
        command.close()


def test_a_disk_with_free_space_accepts_changes_again(disk: Path) -> None:
    """The reserve is filled again, and traffic is accepted."""
    database = sqlite_database(disk)
    while database.maintain():
        pass
    fill(disk)
    assert database.reserve.is_low()
    for number in range(30):
        with sql_work(database).change() as stores:
            stores.certificates.add_intended(certificate(number, der=b"x" * 20_000))
    with database.read() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM reserve").scalar_one()
    assert left < FILLER_ROWS
    (disk / "other").unlink()
    assert not database.reserve.is_low()
    while database.maintain():
        pass
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM reserve").scalar_one() == FILLER_ROWS
    assert (disk / "doorward.db-ballast").exists()
    database.close()


def test_a_key_is_stored_whole_or_not(small_disk: Path) -> None:
    """On a full disk a key is refused, no file has its name, and the store works again after space was freed."""
    FileKeyStore.create(small_disk / "keys", PASSPHRASE)
    store = FileKeyStore.open(small_disk / "keys", PASSPHRASE)
    key = PlainKeys().generate(KeyKind.RSA2048)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
    with pytest.raises(Unavailable) as caught:
        store.store("root", key)
    assert caught.value.code == "keystore-unwritable"
    assert store.names() == []
    (small_disk / "ballast").unlink()
    store.store("root", key)
    with pytest.raises(RequestRefused):
        store.store("root", key)
    assert store.names() == ["root"]
    assert [path.name for path in (small_disk / "keys").glob(".*")] == []
