"""A watch of a folder: one event for each time that it is armed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doorward.gateway.access_log.folder_watch import FolderWatch


def write(folder: Path) -> None:
    """Write into a file."""
    (folder / "old").write_text("more")


def make(folder: Path) -> None:
    """Make a file."""
    (folder / "new").touch()


def rename(folder: Path) -> None:
    """Rename a file."""
    (folder / "old").rename(folder / "older")


def remove(folder: Path) -> None:
    """Remove a file."""
    (folder / "old").unlink()


@pytest.mark.parametrize("act", [write, make, rename, remove])
def test_what_happens_in_the_folder_is_heard_once(tmp_path: Path, act: Callable[[Path], None]) -> None:
    """Not what happened before; and not again until it is armed again."""
    (tmp_path / "old").touch()
    watch = FolderWatch(tmp_path)
    assert watch.arm()
    assert not watch.wait(0)
    act(tmp_path)
    assert watch.arm()  # still the same event
    assert watch.wait(0)
    assert watch.arm()
    assert not watch.wait(0)
    make(tmp_path / "..")
    assert not watch.wait(0)
    (tmp_path / "another").touch()
    assert watch.wait(0)
    watch.close()


def test_reading_is_not_heard(tmp_path: Path) -> None:
    """Otherwise the reader would wake itself."""
    (tmp_path / "old").write_text("text")
    watch = FolderWatch(tmp_path)
    assert watch.arm()
    (tmp_path / "old").read_text()
    list(tmp_path.iterdir())
    assert not watch.wait(0)
    watch.close()


def test_a_thread_that_waits_can_be_woken(tmp_path: Path) -> None:
    """Also before it waits; that is no event."""
    watch = FolderWatch(tmp_path)
    assert watch.arm()
    watch.wake()
    assert not watch.wait(3600)
    watch.close()
    watch.wake()
    assert not watch.arm()


def test_a_folder_that_does_not_exist_is_watched_later(tmp_path: Path) -> None:
    """Until then the caller looks for itself."""
    folder = tmp_path / "log"
    watch = FolderWatch(folder)
    assert not watch.arm()
    folder.mkdir()
    assert watch.arm()
    make(folder)
    assert watch.wait(0)
    watch.close()
