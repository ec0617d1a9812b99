"""Which process is at the other end of a unix socket, and the report about those that were refused.

Standard: Linux unix(7), SO_PEERCRED.

Not here: which process may connect (the servers).
"""

from __future__ import annotations

import socket
import struct
import threading

import structlog

from doorward.core.ports import Clock

TOLD_SECONDS = 60.0
"""How long `trouble` reports a refused connection; and the pause between two lines of the log about such connections."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

_log = structlog.get_logger("doorward.peers")


def peer_of(peer: socket.socket) -> tuple[int, int]:
    """Return process id and user id of the process that connected; the kernel noted them then.

    The process id is 0 if the process is in another PID namespace.

    Raises:
        OSError: the socket has failed.
    """
    pid, uid, _gid = _CREDENTIALS.unpack(
        peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return pid, uid


class RefusedPeers:
    """The last process that was refused; safe between threads.

    Args:
        clock: for how long it is reported.
        event: of the line in the log.
        asked: what the process did, for the sentence: "asked for …".
    """

    def __init__(self, clock: Clock, *, event: str, asked: str) -> None:
        self._clock = clock
        self._event = event
        self._asked = asked
        self._lock = threading.Lock()
        self._last: tuple[float, int, int] | None = None  # when, pid, uid
        self._logged_at: float | None = None
        self._unlogged = 0

    def note(self, pid: int, uid: int) -> None:
        """Keep it, and log it unless one was logged within a minute."""
        with self._lock:
            now = self._clock.monotonic()
            self._last = now, pid, uid
            if self._logged_at is not None and now - self._logged_at < TOLD_SECONDS:
                self._unlogged += 1
                return
            unlogged, self._unlogged, self._logged_at = self._unlogged, 0, now
        _log.warning(self._event, pid=pid, uid=uid, not_logged_before=unlogged)

    def trouble(self) -> str:
        """Return a sentence about it for a minute; empty if there was none."""
        with self._lock:
            if self._last is None or self._clock.monotonic() - self._last[0] >= TOLD_SECONDS:
                return ""
            _, pid, uid = self._last
        return f"a process that is not this gateway's Envoy {self._asked} (process {pid}, user {uid}); find out what that process does, and end it"
