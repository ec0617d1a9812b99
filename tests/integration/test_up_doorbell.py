"""The doorbell wakes whoever listens in the folder, and never holds up whoever rings."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.runtime import doorbell
from doorward.runtime.doorbell import FolderBell, HungBell
from tests.support.doorway import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    with short_folder() as made:
        yield made


def test_a_ring_wakes_everybody(folder: Path) -> None:
    """Each bell in the folder rings, once."""
    bells = [HungBell(folder, name) for name in ("serve", "gateway")]
    FolderBell(folder).ring()
    assert [bell.wait(5) for bell in bells] == [True, True]
    assert [bell.wait(0) for bell in bells] == [False, False]
    for bell in bells:
        bell.close()
    assert list(folder.iterdir()) == []


def test_who_waits_is_woken_at_once(folder: Path) -> None:
    """A ring ends a waiting long before its time."""
    bell = HungBell(folder, "serve")
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(bell.wait(60)))
    waiter.start()
    FolderBell(folder).ring()
    waiter.join(10)
    assert woken == [True]
    bell.close()


def test_it_rings_in_a_process_with_thousands_of_open_files(folder: Path) -> None:
    """A number above 1,023, where select(2) ends, is a bell like any other."""
    with contextlib.ExitStack() as opened:
        for _ in range(1100):
            opened.enter_context(Path(os.devnull).open("rb"))
        bell = HungBell(folder, "serve")
        opened.callback(bell.close)
        assert not bell.wait(0)
        FolderBell(folder).ring()
        assert bell.wait(5)


def test_many_rings_are_one_awakening(folder: Path) -> None:
    """Rings that came together are taken together."""
    bell, ringer = HungBell(folder, "serve"), FolderBell(folder)
    for _ in range(5):
        ringer.ring()
    assert bell.wait(5)
    assert not bell.wait(0)
    bell.close()


def test_nobody_listens_or_nobody_takes(folder: Path) -> None:
    """Ringing never blocks and never fails: no folder, a bell of a dead process, a queue that is full."""
    FolderBell(folder / "missing").ring()
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(folder / f"dead{doorbell.SUFFIX}"))
    left.close()
    (folder / f"odd{doorbell.SUFFIX}").mkdir()
    (folder / "other.sock").touch()
    bell = HungBell(folder, "serve")
    for _ in range(10_000):
        FolderBell(folder).ring()
    assert bell.wait(0)
    bell.close()


def test_without_descriptors_nothing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has no descriptors left commits all the same: the followers poll."""

    def none_left(*_: object) -> None:
        raise OSError(24, os.strerror(24))

    bell = HungBell(folder, "serve")
    monkeypatch.setattr(doorbell.socket, "socket", none_left)
    FolderBell(folder).ring()
    assert not bell.wait(0)
    bell.close()


def test_a_bell_is_for_its_own_user(folder: Path) -> None:
    """Nobody else may ring, and the bell that an earlier run left is replaced."""
    first = HungBell(folder, "serve")
    second = HungBell(folder, "serve")
    path = folder / f"serve{doorbell.SUFFIX}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    FolderBell(folder).ring()
    assert second.wait(5)
    assert not first.wait(0)
    second.close()
    first.close()
