"""Files that a command writes where its caller says."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused
from doorward.runtime.private_files import create_private, refuse_existing, replace_private


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """A umask that closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    """The content is there, and nobody else may read it, whatever the umask is."""
    path = tmp_path / "new"
    create_private(path, b"content")
    assert path.read_bytes() == b"content"
    assert mode_of(path) == 0o600


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    """The option that named it is in the hint; a link that leads nowhere exists as well."""
    path, link = tmp_path / "kept", tmp_path / "link"
    path.write_bytes(b"kept")
    link.symlink_to(tmp_path / "nothing")
    for there in (path, link):
        for refuse in (
            lambda: create_private(there, b"other", option="--note"),  # noqa: B023  called at once
            lambda: refuse_existing(there, option="--note"),  # noqa: B023  as above
        ):
            with pytest.raises(RequestRefused) as caught:
                refuse()
            assert caught.value.code == "file-exists"
            assert "--note" in caught.value.hint
    assert path.read_bytes() == b"kept"
    assert not (tmp_path / "nothing").exists()
    refuse_existing(tmp_path / "new", option="--note")


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_name(tmp_path: Path) -> None:
    """What could not be written is not there half; what was there stays."""
    path = tmp_path / "kept"
    path.write_bytes(b"kept")
    with small_files(4096), pytest.raises(OSError, match="too large"):
        create_private(tmp_path / "new", b"x" * 8192)
    with small_files(4096), pytest.raises(OSError, match="too large"), replace_private(path) as file:
        file.write(b"x" * 8192)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    assert path.read_bytes() == b"kept"


def test_a_file_is_replaced_at_the_end_of_its_block(tmp_path: Path) -> None:
    """Until then the old one stays; a draft that a crash left open to others is not written into."""
    path, draft = tmp_path / "log", tmp_path / "log.part"
    path.write_bytes(b"old")
    draft.write_bytes(b"left by a crash, and longer")
    with replace_private(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        assert mode_of(draft) == 0o600
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["log"]
