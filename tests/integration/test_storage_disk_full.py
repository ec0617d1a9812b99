"""A disk that is full refuses changes, keeps what was there, and takes changes again once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.storage.keystore import FileKeyStore
from tests.support.ports import PlainKeys
from tests.support.records import certificate
from tests.support.sql_store import sqlite_database, sqlite_work

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if os.geteuid() != 0 or mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """Changes fail as `store-full` until there is room; every committed one is there, no half of another."""
    database = sqlite_database(small_disk)
    work = sqlite_work(database)
    ballast = small_disk / "ballast"
    committed = 0
    with pytest.raises(Unavailable) as caught:  # noqa: PT012  # until it is full
        while True:
            with work.change() as books:
                for number in range(20 * committed, 20 * committed + 20):
                    books.certificates.add_intended(certificate(number, der=b"x" * 4000))
            committed += 1
            with suppress(OSError):  # the last bytes are the database's
                ballast.write_bytes(b"x" * min(1_000_000, 50_000 * committed))
    assert caught.value.code in {"store-full", "store-unavailable"}
    assert caught.value.hint
    with work.read() as books:
        assert books.certificates.counts()["intended"] == 20 * committed
    ballast.unlink()
    with work.change() as books:
        books.certificates.add_intended(certificate(10**6))
    with work.read() as books:
        assert books.certificates.counts()["intended"] == 20 * committed + 1
    database.close()


def test_a_key_is_stored_whole_or_not(small_disk: Path) -> None:
    """Without room a key is refused, nothing has its name, and the store goes on once there is room."""
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
