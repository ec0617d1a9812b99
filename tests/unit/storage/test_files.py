"""Files are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.storage.files import read_limited, write_durably
from tests.support.syncing import watch_syncing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content is there, closed to others, and nothing else is left in the directory."""
    path = tmp_path / "f"
    for data in (b"old", b"new content"):
        write_durably(path, data)
    assert path.read_bytes() == b"new content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut takes neither content nor name: the file is synced before the rename, its folder after it."""
    synced = watch_syncing(monkeypatch)
    write_durably(tmp_path / "f", b"data", mode=0o644)
    assert synced == [(tmp_path / ".f.new", False), (tmp_path, True)]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_what_a_crash_left_is_in_nobody_s_way(tmp_path: Path) -> None:
    """A half-written file of a crash is replaced by the next writing."""
    (tmp_path / ".f.new").write_bytes(b"half")
    write_durably(tmp_path / "f", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the name cannot be given, what was there stays and the draft is gone."""
    (tmp_path / "f").mkdir()
    with pytest.raises(OSError, match=r"."):
        write_durably(tmp_path / "f", b"data")
    assert (tmp_path / "f").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_reading_has_a_limit(tmp_path: Path) -> None:
    """A file at the limit is read, one byte more is refused."""
    (tmp_path / "f").write_bytes(b"12345")
    assert read_limited(tmp_path / "f", 5) == b"12345"
    with pytest.raises(ValueError, match="longer"):
        read_limited(tmp_path / "f", 4)
