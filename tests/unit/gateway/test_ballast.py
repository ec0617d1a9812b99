"""On a full disk the ballast makes room for one more file."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from doorward.gateway import ballast as module


def test_on_a_full_disk_the_ballast_makes_room_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written after the ballast is deleted; without ballast the disk's error is raised."""
    ballast = module.Ballast()
    monkeypatch.setattr(module, "BALLAST_BYTES", 4096)
    whole = module.replace_file

    def full(path: Path, data: bytes, *, durable: bool) -> None:
        if (tmp_path / "ballast").exists() or data == b"large":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, data, durable=durable)

    monkeypatch.setattr(module, "replace_file", full)
    assert not ballast.delete()
    ballast.create(tmp_path)
    ballast.create(tmp_path)
    assert (tmp_path / "ballast").stat().st_size == 4096
    ballast.replace_file(tmp_path / "file", b"new", durable=False)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "ballast").exists()
    with pytest.raises(OSError, match="No space"):
        ballast.replace_file(tmp_path / "file", b"large", durable=False)
    assert not ballast.delete()
