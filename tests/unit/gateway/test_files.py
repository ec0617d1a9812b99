"""Files of the gateway are replaced as a whole, durably where it matters."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from doorward.gateway import files
from doorward.gateway.files import replace_file
from tests.support.syncing import watch_syncing


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool) -> None:
    """The new content is there, closed to others; file and folder are synced where it must outlive the machine."""
    synced = watch_syncing(monkeypatch)
    for content in (b"old", b"new content"):
        replace_file(tmp_path / "f", content, durable=durable)
    assert (tmp_path / "f").read_bytes() == b"new content"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert synced == [(tmp_path / ".f.new", False), (tmp_path, True)] * 2 * durable


def test_a_link_in_the_place_of_the_draft_is_not_followed(tmp_path: Path) -> None:
    """Whatever a link points to stays as it is."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".f.new").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"."):
        replace_file(tmp_path / "f", b"data", durable=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_on_a_full_disk_the_ballast_makes_room_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written where the ballast was; without one the error is the disk's."""
    ballast = files.Ballast()
    monkeypatch.setattr(files, "BALLAST", ballast)
    monkeypatch.setattr(files, "BALLAST_BYTES", 4096)
    whole = files._replace

    def full(path: Path, content: bytes, *, durable: bool) -> None:
        if (tmp_path / "ballast").exists() or content == b"large":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content, durable=durable)

    monkeypatch.setattr(files, "_replace", full)
    assert not ballast.drop()
    ballast.lay(tmp_path)
    ballast.lay(tmp_path)
    assert (tmp_path / "ballast").stat().st_size == 4096
    files.replace_file(tmp_path / "file", b"new", durable=False)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "ballast").exists()
    with pytest.raises(OSError, match="No space"):
        files.replace_file(tmp_path / "file", b"large", durable=False)
    assert not ballast.drop()
