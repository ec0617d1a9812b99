"""The data directory: where things lie and who may enter."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError
from doorward.core.sockets import LONGEST_SOCKET_PATH
from doorward.runtime.layout import Layout
from tests.support.refusals import refused


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="dw-") as made:
        yield Path(made)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_is_made_and_closed(folder: Path) -> None:
    """All folders are there afterwards, and no other user may enter any of them."""
    layout = Layout(folder / "data")
    before = os.umask(0)
    try:
        layout.create()
    finally:
        os.umask(before)
    for one in (layout.data, *layout.shared_folders()):
        assert one.is_dir()
        assert mode(one) == 0o700


def test_what_is_there_is_kept_and_closed(folder: Path) -> None:
    """Making it again keeps every file, and closes folders of ours that stood open."""
    layout = Layout(folder / "data")
    layout.create()
    (layout.keys / "root.key").write_text("secret")
    layout.keys.chmod(0o755)
    (layout.gateway / "keys").chmod(0o770)
    layout.create()
    assert (layout.keys / "root.key").read_text() == "secret"
    assert mode(layout.keys) == 0o700
    assert mode(layout.gateway / "keys") == 0o700


def test_files_lie_where_the_folders_are(folder: Path) -> None:
    """Every path is below the data directory, the sockets and the database in folders that are made."""
    layout = Layout(folder)
    folders = layout.shared_folders()
    assert layout.database.parent in folders
    assert layout.enrol_socket.parent == layout.est_socket.parent == layout.run
    assert layout.portal_socket.parent == layout.sessions_socket.parent == layout.run
    assert layout.run in folders
    assert layout.authorizer_socket.parent.parent == layout.discovery_socket.parent.parent == layout.gateway
    assert layout.gateway in folders
    assert layout.log_key.parent == layout.settings_file.parent == folder


def test_a_path_too_long_for_sockets_is_refused(folder: Path) -> None:
    """A path that leaves no room for the admin socket is refused before anything is made."""
    room = LONGEST_SOCKET_PATH - len("/gateway/envoy/000000/admin.sock")
    assert room == 75
    long = folder / ("x" * (room - len(str(folder)) - 1))
    assert len(str(long)) == room
    Layout(long).create()
    longer = long.with_name(long.name + "y")
    with refused(ConfigurationError, "data-path-too-long") as caught:
        Layout(longer).create()
    assert "75" in caught.value.hint
    assert not longer.exists()


def test_length_is_counted_in_bytes(folder: Path) -> None:
    """A path of few characters may be one of many bytes."""
    with refused(ConfigurationError, "data-path-too-long"):
        Layout(folder / ("ä" * 40)).create()


@pytest.mark.parametrize("place", ["data", "data/keys", "data/gateway"])
def test_a_file_in_the_way_is_a_clear_error(folder: Path, place: str) -> None:
    """A file where a folder belongs is named, not a trace."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    with refused(ConfigurationError, "data-unusable") as caught:
        Layout(folder / "data").create()
    assert str(path) in caught.value.detail
    assert path.read_text() == "in the way"


def test_a_place_where_nothing_can_be_made(folder: Path) -> None:
    """A directory that cannot be made is a clear error."""
    with refused(ConfigurationError, "data-unusable") as caught:
        Layout(Path("/proc/doorward")).create()
    assert caught.value.hint


def test_what_the_ordinary_user_cannot_reach_is_not_handed_over(folder: Path) -> None:
    """A parent folder that others cannot enter is named before any owner is changed."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    layout = Layout(closed / "data")
    layout.create()
    folder.chmod(0o711)
    with refused(ConfigurationError, "data-unreachable") as caught:
        layout.hand_over(61_234, 61_234)
    assert str(closed) in caught.value.detail
    assert layout.keys.stat().st_uid == os.geteuid()
