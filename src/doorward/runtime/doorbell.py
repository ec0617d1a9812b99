"""The doorbell: wakes the followers of the change sequence on this machine, within a millisecond.

Not here: what changed. A ring carries nothing and may be lost; followers read the sequence itself,
and poll it as the net. Each follower binds a datagram socket in one folder; whoever commits a
change sends one empty datagram to every socket there.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path

SUFFIX = ".bell"


class FolderBell:
    """Rings every bell in a folder (`core.ports.Bell`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ring(self) -> None:
        """Wake the followers; never blocks, never raises."""
        try:
            bells = [entry.path for entry in os.scandir(self._folder) if entry.name.endswith(SUFFIX)]
        except OSError:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # noqa: FBT003  the API of the standard library
            for path in bells:
                with contextlib.suppress(OSError):  # a full queue is a follower that is awake already
                    sender.sendto(b"", path)


class HungBell:
    """One follower's bell: a bound datagram socket that `wait` listens on."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}{SUFFIX}"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003  the API of the standard library
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._waiting = select.poll()  # select(2) ends where a process has more than 1,024 files open
        self._waiting.register(self._socket, select.POLLIN)

    def wait(self, timeout_seconds: float) -> bool:
        """Return True as soon as the bell rang, False when the time is over; takes all rings at once."""
        if not self._waiting.poll(timeout_seconds * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        return True

    def close(self) -> None:
        """Take the bell down."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
