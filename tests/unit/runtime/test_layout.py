"""The data directory: where things lie and who may enter."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError
from doorward.runtime.layout import LONGEST_SOCKET_PATH, Layout


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_is_made_and_closed(tmp_path: Path) -> None:
    """All folders are there afterwards, and no other user may enter any of them."""
    layout = Layout(tmp_path / "data")
    before = os.umask(0)
    try:
        layout.create()
    finally:
        os.umask(before)
    for folder in (layout.data, *layout.shared_folders()):
        assert folder.is_dir()
        assert mode(folder) == 0o700


def test_what_is_there_is_kept_and_closed(tmp_path: Path) -> None:
    """Making it again keeps every file, and closes folders of ours that stood open."""
    layout = Layout(tmp_path / "data")
    layout.create()
    (layout.keys / "root.key").write_text("secret")
    layout.keys.chmod(0o755)
    (layout.gateway / "keys").chmod(0o770)
    layout.create()
    assert (layout.keys / "root.key").read_text() == "secret"
    assert mode(layout.keys) == 0o700
    assert mode(layout.gateway / "keys") == 0o700


def test_files_lie_where_the_folders_are(tmp_path: Path) -> None:
    """Every path is below the data directory, the sockets and the database in folders that are made."""
    layout = Layout(tmp_path)
    folders = layout.shared_folders()
    assert layout.database.parent in folders
    assert layout.enrol_socket.parent == layout.authorizer_socket.parent == layout.run
    assert layout.run in folders
    assert layout.log_key.parent == layout.settings_file.parent == tmp_path


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    """A path that leaves no room for the admin socket is refused before anything is made."""
    room = LONGEST_SOCKET_PATH - len("/gateway/envoy/000000/admin.sock")
    assert room == 75
    long = tmp_path / ("x" * (room - len(str(tmp_path)) - 1))
    assert len(str(long)) == room
    Layout(long).create()
    longer = long.with_name(long.name + "y")
    with pytest.raises(ConfigurationError) as caught:
        Layout(longer).create()
    assert caught.value.code == "data-path-too-long"
    assert "75" in caught.value.hint
    assert not longer.exists()


def test_length_is_counted_in_bytes(tmp_path: Path) -> None:
    """A path of few characters may be one of many bytes."""
    with pytest.raises(ConfigurationError) as caught:
        Layout(tmp_path / ("ä" * 40)).create()
    assert caught.value.code == "data-path-too-long"


@pytest.mark.parametrize("place", ["data", "data/keys", "data/gateway"])
def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path, place: str) -> None:
    """A file where a folder belongs is named, not a trace."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    with pytest.raises(ConfigurationError) as caught:
        Layout(tmp_path / "data").create()
    assert caught.value.code == "data-unusable"
    assert str(path) in caught.value.detail
    assert path.read_text() == "in the way"


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    """A directory that cannot be made is a clear error."""
    with pytest.raises(ConfigurationError) as caught:
        Layout(Path("/proc/doorward")).create()
    assert caught.value.code == "data-unusable"
    assert caught.value.hint
