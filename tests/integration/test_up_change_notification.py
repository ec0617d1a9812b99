"""A change notification wakes every listener in the folder, and never blocks its sender."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from doorward.runtime import change_notification
from doorward.runtime.change_notification import DatagramListener, DatagramNotifier


def test_every_listener_wakes(folder: Path) -> None:
    """Each listener in the folder gets the notification, once."""
    listeners = [DatagramListener(folder, name) for name in ("serve", "gateway")]
    DatagramNotifier(folder).notify()
    assert [listener.wait(60) for listener in listeners] == [True, True]
    assert [listener.wait(0) for listener in listeners] == [False, False]
    for listener in listeners:
        listener.close()
    assert list(folder.iterdir()) == []


def test_an_announcement_wakes_only_those_who_were_not_woken_lately(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy process pays for one in a while: followers read the sequence often for longer than that."""
    now = 1000.0
    monkeypatch.setattr(change_notification.time, "monotonic", lambda: now)
    listener, notifier = DatagramListener(folder, "gateway"), DatagramNotifier(folder)
    notifier.announce()
    assert listener.wait(60)
    notifier.announce()
    notifier.notify()
    assert listener.wait(60)
    now += change_notification.ANNOUNCED_SECONDS
    notifier.announce()
    assert not listener.wait(0)
    now += 0.001
    notifier.announce()
    assert listener.wait(60)
    listener.close()


def test_a_waiting_listener_wakes_at_once(folder: Path) -> None:
    """A notification ends a wait long before its timeout."""
    listener = DatagramListener(folder, "serve")
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(listener.wait(60)))
    waiter.start()
    DatagramNotifier(folder).notify()
    waiter.join(60)
    assert woken == [True]
    listener.close()


def test_it_works_with_thousands_of_open_files(folder: Path) -> None:
    """A descriptor above 1,023, which select(2) refuses, is waited on too."""
    with contextlib.ExitStack() as opened:
        for _ in range(1100):
            opened.enter_context(Path(os.devnull).open("rb"))
        listener = DatagramListener(folder, "serve")
        opened.callback(listener.close)
        assert not listener.wait(0)
        DatagramNotifier(folder).notify()
        assert listener.wait(60)


def test_many_notifications_wake_once(folder: Path) -> None:
    """Notifications that arrived together are taken together."""
    listener, notifier = DatagramListener(folder, "serve"), DatagramNotifier(folder)
    for _ in range(5):
        notifier.notify()
    assert listener.wait(60)
    assert not listener.wait(0)
    listener.close()


def test_sending_never_fails(folder: Path) -> None:
    """Sending never blocks and never fails: no folder, the socket of a dead process, a queue that is full."""
    DatagramNotifier(folder / "missing").notify()
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(folder / f"dead{change_notification.SUFFIX}"))
    left.close()
    (folder / f"odd{change_notification.SUFFIX}").mkdir()
    (folder / "other.sock").touch()
    listener = DatagramListener(folder, "serve")
    for _ in range(10_000):
        DatagramNotifier(folder).notify()
    assert listener.wait(0)
    listener.close()


def test_without_descriptors_nothing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has no descriptors left still commits: the followers poll."""

    def none_left(*_: object) -> None:
        raise OSError(24, os.strerror(24))

    listener = DatagramListener(folder, "serve")
    monkeypatch.setattr(change_notification.socket, "socket", none_left)
    DatagramNotifier(folder).notify()
    assert not listener.wait(0)
    listener.close()


def test_a_socket_is_for_its_own_user(folder: Path) -> None:
    """No other user may send."""
    listener = DatagramListener(folder, "serve")
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()


def test_a_second_listener_takes_nothing_from_the_first(folder: Path) -> None:
    """A second process of the same role cannot start, and the first must still hear of withdrawals."""
    first = DatagramListener(folder, "serve")
    DatagramListener(folder, "serve").close()
    DatagramNotifier(folder).notify()
    assert first.wait(60)
    first.close()


def test_what_dead_processes_left_is_removed(folder: Path) -> None:
    """Each run has a file of its own; they must not become many."""
    living, other = DatagramListener(folder, "serve"), DatagramListener(folder, "gateway")
    for name in ("serve", "serve-0123", "gateway-0123"):
        left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        left.bind(str(folder / f"{name}{change_notification.SUFFIX}"))
        left.close()
    DatagramListener(folder, "serve").close()
    assert len(list(folder.iterdir())) == 3
    assert (folder / f"gateway-0123{change_notification.SUFFIX}").exists()
    DatagramNotifier(folder).notify()
    assert living.wait(60)
    assert other.wait(60)
    living.close()
    other.close()
