"""Static tiles of a log in a database: read by a reader of its own, brought up to date, refused if something was altered."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.merkle import EMPTY_ROOT, leaf_hash, verify_inclusion
from doorward.audit.note import Checkpoint, render_checkpoint, render_verifier_key, sign_note, verifier_key
from doorward.core.errors import IntegrityError, RequestRefused, Unavailable
from doorward.runtime.tile_export import TilesExported, export_tiles
from doorward.storage.connection import driver_of
from doorward.storage.event_store import SqlEventLog
from doorward.storage.sqlite.database import SqliteDatabase
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER
from tests.support.events import request_answered, seal, sealed_block
from tests.support.killing import dying
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.sql_store import sqlite_database
from tests.support.static_reader import StaticReader

SIZE = 3 * 256 + 100


def _record(log: SqlEventLog, first: int, end: int, *, sign: bool = True) -> None:
    with log.change() as store:
        store.record(seal(request_answered(first)))
        if end > first + 1:
            store.record_block(sealed_block(*range(first + 1, end)))
        while sequence(store, 10_000):
            pass
        if sign:
            sign_checkpoint(store, SIGNER, ORIGIN, NOON)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three tiles of events and a part of a fourth one, all signed."""
    database = sqlite_database(tmp_path_factory.mktemp("log"))
    _record(SqlEventLog(database), 0, SIZE)
    database.close()
    return database.path


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A copy of it for one test."""
    (tmp_path / made.name).write_bytes(made.read_bytes())
    database = SqliteDatabase(tmp_path / made.name)
    yield database
    database.close()


@pytest.fixture
def log(database: SqliteDatabase) -> SqlEventLog:
    """The log in it."""
    return SqlEventLog(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the tiles go; it does not exist yet."""
    return tmp_path / "tiles"


def _export(log: SqlEventLog, folder: Path, *, check: bool = False) -> TilesExported:
    return export_tiles(log, VERIFIER, folder, check=check)


def _files(folder: Path) -> dict[str, int]:
    """Return the files of a folder, with their inodes: a file that was written again has another one."""
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def _alter(database: SqliteDatabase, statement: str, *values: object) -> None:
    with database.write() as connection:
        assert driver_of(connection).execute(statement, values).rowcount == 1


def test_another_reader_finds_the_signed_tree(log: SqlEventLog, folder: Path) -> None:
    """From the files and the verifier key alone, a reader finds the leaves, the signed root and a proof of each leaf."""
    shown: list[tuple[int, int]] = []
    done = export_tiles(log, VERIFIER, folder, progress=lambda *place: shown.append(place))
    assert shown == [(SIZE, SIZE)]
    reader = StaticReader(folder, VERIFIER)
    assert done == TilesExported(SIZE, 9, (folder / "checkpoint").read_text(encoding="utf-8"))
    assert reader.size == SIZE
    reader.check()
    with log.read() as store:
        leaves = [row.leaf for row in store.leaves(0, SIZE)]
        personal = {opening.value.encode() for _, opening in store.openings(0, SIZE)}
        salts = {opening.salt for _, opening in store.openings(0, SIZE)}
    assert reader.leaves() == leaves
    for number in (0, 255, 256, SIZE - 1):
        proof = reader.proof(number)
        assert verify_inclusion(leaf_hash(leaves[number]), number, SIZE, proof, reader.root)
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(personal) > SIZE
    assert not any(value in everything for value in personal)
    assert not any(salt in everything or salt.hex().encode() in everything for salt in salts)


def test_only_what_is_new_is_written(log: SqlEventLog, folder: Path) -> None:
    """Later exports keep each complete file, and remove the partial ones of a tile that is complete now."""
    _export(log, folder)
    first = _files(folder)
    assert _export(log, folder).written == 0
    assert _files(folder) == first
    _record(log, SIZE, 1200)
    done = _export(log, folder)
    StaticReader(folder, VERIFIER).check()
    second = _files(folder)
    gone = {"tile/0/003.p/100", "tile/entries/003.p/100"}
    assert first.keys() - second.keys() == gone
    kept = first.keys() - gone - {"checkpoint"}
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}
    new = {"tile/0/003", "tile/entries/003", "tile/0/004.p/176", "tile/entries/004.p/176", "tile/1/000.p/4"}
    assert second.keys() - first.keys() == new
    assert done.written == len(new)
    assert not (folder / "tile/0/003.p").exists()
    assert _export(log, folder, check=True).written == 0


def test_events_after_the_checkpoint_wait(log: SqlEventLog, folder: Path) -> None:
    """The files cover what is signed, and no event after it."""
    _record(log, SIZE, 1200, sign=False)
    assert _export(log, folder).events == SIZE
    assert not (folder / "tile/0/003").exists()
    StaticReader(folder, VERIFIER).check()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512])
def test_small_trees(tmp_path: Path, folder: Path, size: int) -> None:
    """Trees around the size of one tile have no empty tile."""
    database = sqlite_database(tmp_path)
    log = SqlEventLog(database)
    _record(log, 0, size)
    _export(log, folder)
    StaticReader(folder, VERIFIER).check()
    assert all(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _record(log, size, 700)
    _export(log, folder)
    StaticReader(folder, VERIFIER).check()
    database.close()


def test_a_lost_file_is_written_again(log: SqlEventLog, folder: Path) -> None:
    """A complete file that is missing, or too short, is found without reading the others."""
    _export(log, folder)
    (folder / "tile/entries/001").unlink()
    assert _export(log, folder).written == 1
    (folder / "tile/0/000").unlink()
    (folder / "tile/1/000.p/3").unlink()
    assert _export(log, folder).written == 2
    StaticReader(folder, VERIFIER).check()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["tile/0/001", "tile/entries/001", "tile/0/003.p/100", "tile/1/000.p/3"])
def test_an_altered_file_is_refused(log: SqlEventLog, folder: Path, name: str, *, check: bool) -> None:
    """A file with another content is named, and the checkpoint stays; a complete bundle is compared on request."""
    _export(log, folder)
    before = (folder / "checkpoint").read_bytes()
    data = bytearray((folder / name).read_bytes())
    data[50] ^= 1
    (folder / name).write_bytes(data)
    _record(log, SIZE, SIZE + 1)
    if not check and name == "tile/entries/001":
        _export(log, folder)
        return
    if name.endswith("100"):  # the next checkpoint needs another width
        _export(log, folder, check=check)
        StaticReader(folder, VERIFIER).check()
        return
    with refused(IntegrityError, "tile-altered") as found:
        _export(log, folder, check=check)
    assert name in str(found.value)
    assert (folder / "checkpoint").read_bytes() == before
    (folder / name).unlink()
    _export(log, folder, check=True)
    StaticReader(folder, VERIFIER).check()


def test_a_file_that_grew_is_refused(log: SqlEventLog, folder: Path) -> None:
    """A tile that is far too large is not read, and not replaced."""
    _export(log, folder)
    with (folder / "tile/0/002").open("r+b") as file:
        file.truncate(1 << 30)
    with refused(IntegrityError, "tile-altered"):
        _export(log, folder)


def test_altered_hashes_of_the_log_are_refused(
    database: SqliteDatabase, log: SqlEventLog, folder: Path
) -> None:
    """Stored hashes that differ from the events write no tile and no checkpoint."""
    _alter(database, "UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 0 AND number = 1")
    with refused(IntegrityError, "node-altered") as found:
        _export(log, folder)
    assert "256 to 511" in str(found.value)
    assert not (folder / "tile/0/001").exists()
    assert not (folder / "checkpoint").exists()


def test_altered_hashes_above_are_refused(database: SqliteDatabase, log: SqlEventLog, folder: Path) -> None:
    """So do those of the next tile level."""
    _alter(database, "UPDATE log_tiles SET hashes = zeroblob(96) WHERE level = 1")
    with refused(IntegrityError, "node-altered"):
        _export(log, folder)
    assert not (folder / "checkpoint").exists()


def test_a_missing_event_is_refused(database: SqliteDatabase, log: SqlEventLog, folder: Path) -> None:
    """An event that was removed is named."""
    _alter(database, "DELETE FROM log_leaves WHERE number = 0")
    with refused(IntegrityError, "leaf-missing") as found:
        _export(log, folder)
    assert "leaf 0 is missing" in str(found.value)


def _sign(log: SqlEventLog, size: int, root: bytes, signer: Ed25519PrivateKey = SIGNER) -> None:
    with log.change() as store:
        head = Checkpoint(origin=ORIGIN, size=size, root=root)
        store.store_checkpoint(sign_note(render_checkpoint(head), signer, ORIGIN), size, NOON)


def test_another_root_than_the_signed_one_is_refused(log: SqlEventLog, folder: Path) -> None:
    """If events and hashes were rewritten together, the root is not the one that was signed."""
    _record(log, SIZE, SIZE + 1, sign=False)
    _sign(log, SIZE + 1, bytes(32))
    with refused(IntegrityError, "root-mismatch"):
        _export(log, folder)
    assert not (folder / "checkpoint").exists()


def test_a_checkpoint_of_another_key_is_refused(log: SqlEventLog, folder: Path) -> None:
    """A checkpoint that the log's key did not sign is not exported."""
    _sign(log, SIZE + 1, EMPTY_ROOT, Ed25519PrivateKey.generate())
    with refused(IntegrityError, "checkpoint-foreign"):
        _export(log, folder)


def test_a_log_without_a_checkpoint_waits(tmp_path: Path, folder: Path) -> None:
    """Nothing is exported before something is signed."""
    database = sqlite_database(tmp_path)
    with refused(Unavailable, "checkpoint-missing"):
        _export(SqlEventLog(database), folder)
    database.close()


def test_a_log_that_was_put_back_or_rewritten_is_refused(
    made: Path, log: SqlEventLog, tmp_path: Path, folder: Path
) -> None:
    """What the folder's readers have seen must be the beginning of what comes."""
    _record(log, SIZE, SIZE + 9)
    _export(log, folder)
    for code, first in (("log-truncated", 0), ("log-rewritten", 5000)):
        place = tmp_path / code
        place.mkdir()
        if not first:
            shutil.copy(made, place)
        other = sqlite_database(place)
        if first:
            _record(SqlEventLog(other), first, first + 2 * SIZE)
        with refused(IntegrityError, code):
            _export(SqlEventLog(other), folder)
        other.close()
    (folder / "checkpoint").write_text("another text\n", encoding="utf-8")
    with refused(IntegrityError, "checkpoint-foreign"):
        _export(log, folder)


def test_a_folder_of_something_else_is_refused(log: SqlEventLog, tmp_path: Path, folder: Path) -> None:
    """A folder with other files, of another log, without a parent, or a file, is not written into."""
    with refused(RequestRefused, "tiles-folder-unusable"):
        _export(log, folder / "below")
    folder.mkdir()
    (folder / "letter.txt").write_bytes(b"Dear Alice")
    with refused(RequestRefused, "tiles-folder-unusable"):
        _export(log, folder)
    assert _files(folder).keys() == {"letter.txt"}
    with refused(RequestRefused, "tiles-folder-unusable"):
        _export(log, folder / "letter.txt")
    (tmp_path / "other").mkdir()
    key = render_verifier_key(verifier_key("other.example/audit", SIGNER.public_key()))
    (tmp_path / "other" / ".doorward-log").write_text(f"{key}\n", encoding="ascii")
    with refused(RequestRefused, "tiles-folder-unusable"):
        _export(log, tmp_path / "other")


def test_a_folder_in_which_others_write_is_refused(log: SqlEventLog, folder: Path) -> None:
    """Other users could put links there, and so lead the files elsewhere."""
    folder.mkdir()
    folder.chmod(0o777)
    with refused(RequestRefused, "tiles-folder-unusable"):
        _export(log, folder)
    assert not _files(folder)


def test_one_export_at_a_time(log: SqlEventLog, folder: Path) -> None:
    """A second process that exports into the folder is told to wait."""
    folder.mkdir()
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with refused(Unavailable, "tiles-folder-busy"):
        _export(log, folder)
    os.close(other)
    _export(log, folder)


@pytest.mark.parametrize(("given", "folders", "files"), [(0o700, 0o700, 0o600), (0o755, 0o755, 0o644)])
def test_who_reads_the_folder_reads_the_files(
    log: SqlEventLog, folder: Path, given: int, folders: int, files: int
) -> None:
    """The permissions are those of the folder, without the right to write, and do not depend on the umask."""
    if given != 0o700:
        folder.mkdir()
        folder.chmod(given)
    before = os.umask(0o077)
    try:
        _export(log, folder)
    finally:
        os.umask(before)
    found = {(path.is_dir(), path.stat().st_mode & 0o7777) for path in [folder, *folder.rglob("*")]}
    assert found == {(True, folders), (False, files)}


def test_an_export_that_dies_at_any_change_is_continued(log: SqlEventLog, folder: Path) -> None:
    """After each possible end the next export completes the files, and what readers had stays good."""
    _export(log, folder)
    _record(log, SIZE, 1200)
    at, died = 0, True
    while died:
        at += 1
        copy = folder.with_name(f"copy-{at}")
        shutil.copytree(folder, copy)
        with dying(copy, at) as death:
            _export(log, copy)
        died = death.happened
        StaticReader(copy, VERIFIER).check()  # the old checkpoint or the new one
        _export(log, copy)
        StaticReader(copy, VERIFIER).check()
        assert _files(copy).keys() - {"tile/1/000.p/3"} == {
            *(f"tile/0/{number:03d}" for number in range(4)),
            *(f"tile/entries/{number:03d}" for number in range(4)),
            *("tile/0/004.p/176", "tile/entries/004.p/176", "tile/1/000.p/4", "checkpoint", ".doorward-log"),
        }
        shutil.rmtree(copy)
    assert at > 20


def test_a_first_export_that_dies_is_continued(log: SqlEventLog, folder: Path) -> None:
    """Also a folder that has no checkpoint yet, or not even its mark, is continued."""
    at, died = 0, True
    while died:
        at += 1
        copy = folder.with_name(f"copy-{at}")
        with dying(copy, at) as death:
            _export(log, copy)
        died = death.happened
        assert (copy / "checkpoint").exists() is not died
        _export(log, copy)
        StaticReader(copy, VERIFIER).check()
        assert {path.stat().st_mode & 0o777 for path in copy.rglob("*") if path.is_dir()} == {0o700}
        shutil.rmtree(copy)
    assert at > 30
