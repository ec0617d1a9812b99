"""Files are made and replaced as a whole, durably if that is asked for."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorward.files import create_file, read_limited, replace_file, replacing, sync_folder
from tests.support.syncing import watch_syncing

pytestmark = pytest.mark.usefixtures("generous_umask")


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def mode_of(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool) -> None:
    """The new content is there, closed to others; if asked, the file is synced before it has its name, the folder after."""
    synced = watch_syncing(monkeypatch)
    for content in (b"old", b"new content"):
        replace_file(tmp_path / "f", content, durable=durable)
    assert (tmp_path / "f").read_bytes() == b"new content"
    assert mode_of(tmp_path / "f") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert synced == [(tmp_path / ".f.new", False), (tmp_path, True)] * 2 * durable


def test_the_mode_is_what_was_asked_for(tmp_path: Path) -> None:
    """A narrow umask takes nothing from it."""
    os.umask(0o077)
    replace_file(tmp_path / "replaced", b"data", mode=0o644)
    create_file(tmp_path / "created", b"data", mode=0o644)
    assert {mode_of(path) for path in tmp_path.iterdir()} == {0o644}


def test_what_a_crash_left_is_not_written_into(tmp_path: Path) -> None:
    """It may be open to others, or a link to a file that matters: it goes, and the link's target stays."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".f.new").symlink_to(tmp_path / "precious")
    (tmp_path / ".g.new").write_bytes(b"left by a crash, and longer")
    for name in "fg":
        with replacing(tmp_path / name) as file:
            file.write(b"new")
            assert mode_of(tmp_path / f".{name}.new") == 0o600
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "g", "precious"]


def test_a_link_of_the_files_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """What the link leads to stays as it is."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "f").symlink_to(tmp_path / "precious")
    replace_file(tmp_path / "f", b"new")
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """An exception, a full disk and a name that cannot be given leave the old one, and no draft."""
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(KeyError), replacing(tmp_path / "f") as file:
        file.write({}["half"])
    with small_files(4096), pytest.raises(OSError, match="too large"):
        replace_file(tmp_path / "f", b"x" * 8192)
    with pytest.raises(OSError, match=r"."):
        replace_file(tmp_path / "folder", b"data")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "folder"]


def test_a_file_is_created_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is its owner's and durable; what exists is not touched, nor a link that leads nowhere."""
    synced = watch_syncing(monkeypatch)
    create_file(tmp_path / "f", b"data")
    assert synced == [(tmp_path / "f", False), (tmp_path, True)]
    assert mode_of(tmp_path / "f") == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("f", "link"):
        with pytest.raises(FileExistsError):
            create_file(tmp_path / name, b"other")
    assert (tmp_path / "f").read_bytes() == b"data"
    assert not (tmp_path / "nothing").exists()


def test_what_cannot_be_created_whole_is_not_there(tmp_path: Path) -> None:
    """A full disk leaves no name."""
    with small_files(4096), pytest.raises(OSError, match="too large"):
        create_file(tmp_path / "new", b"x" * 8192)
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_system_that_cannot_sync_folders_is_excused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL says that it cannot; any other error says that the disk failed."""
    code = errno.EINVAL

    def fsync(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    sync_folder(tmp_path)
    code = errno.EIO
    with pytest.raises(OSError, match="error"):
        sync_folder(tmp_path)


def test_reading_has_a_limit(tmp_path: Path) -> None:
    """A file at the limit is read, one byte more is refused."""
    (tmp_path / "f").write_bytes(b"12345")
    assert read_limited(tmp_path / "f", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4"):
        read_limited(tmp_path / "f", 4)


def test_reading_waits_for_no_pipe(tmp_path: Path) -> None:
    """A pipe without a writer would block the reader for ever; a device has no end. A link to a file is read."""
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_limited(odd, 5)
    with pytest.raises(IsADirectoryError):
        read_limited(tmp_path, 5)
    (tmp_path / "f").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("f")
    assert read_limited(tmp_path / "link", 5) == b"12345"


def test_a_pipe_that_a_person_names_is_read(tmp_path: Path) -> None:
    """`<(command)` of a shell is one."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"123",))
    writer.start()
    assert read_limited(tmp_path / "pipe", 5, allow_pipes=True) == b"123"
    writer.join()
