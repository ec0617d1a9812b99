"""Change notification: wakes the followers of the change sequence on this machine, within a millisecond.

Not here: what changed. A notification carries no data and may be lost. A follower therefore reads the sequence itself,
and also polls it. Each follower binds a datagram socket in one folder. A process that has committed a change sends
one empty datagram to every socket in that folder. It also sends one before the commit, unless it sent one lately: if
the process is killed right after its commit, the follower knows that a change may be there, and polls often (docs/design/0109).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path

SUFFIX = ".notify"
ANNOUNCED_SECONDS = 0.25
"""How long a notification also announces the changes that the same process commits next: much shorter than followers then look often."""


class DatagramNotifier:
    """Sends a notification to every listener in a folder (`core.ports.ChangeNotifier`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sent_at = -ANNOUNCED_SECONDS

    def announce(self) -> None:
        """Wake the followers before a commit, unless this process has just woken them; as `notify`."""
        if time.monotonic() - self._sent_at > ANNOUNCED_SECONDS:
            self.notify()

    def notify(self) -> None:
        """Wake the followers; never blocks, never raises."""
        self._sent_at = time.monotonic()
        try:
            listeners = [entry.path for entry in os.scandir(self._folder) if entry.name.endswith(SUFFIX)]
        except OSError:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # noqa: FBT003  the API of the standard library
            for path in listeners:
                with contextlib.suppress(OSError):  # a full queue belongs to a follower that is awake already
                    sender.sendto(b"", path)


class DatagramListener:
    """The datagram socket on which one follower waits for notifications.

    Its file has a name of its own: a second process of the same role, which then cannot start because the address is in
    use, must not take the notifications of the first. Files that dead processes left are removed.
    """

    def __init__(self, folder: Path, name: str) -> None:
        _remove_dead(folder, name)
        self._path = folder / f"{name}-{os.urandom(4).hex()}{SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003  the API of the standard library
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._poll = select.poll()  # select(2) fails if a process has more than 1,024 files open
        self._poll.register(self._socket, select.POLLIN)

    def wait(self, timeout_seconds: float) -> bool:
        """Return True as soon as a notification arrives, False after the timeout; takes all that have arrived."""
        if not self._poll.poll(timeout_seconds * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        return True

    def close(self) -> None:
        """Close the socket and remove its file."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _remove_dead(folder: Path, name: str) -> None:
    """Remove the sockets of this name that no process has open; Linux refuses to connect to them."""
    for path in (*folder.glob(f"{name}-*{SUFFIX}"), folder / f"{name}{SUFFIX}"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
