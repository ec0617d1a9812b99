"""The server of Envoy's `envoy.service.auth.v3.Authorization/Check`: gRPC over HTTP/2 at a unix socket.

Only our own Envoys are served. The socket is a file that only our own user may open, in a folder of its own, and the kernel
says which process connected: `admit` must know it. Any other process is told of in the log and in `status`.
Standard: Linux unix(7), SO_PEERCRED.

Not here: how calls are read and answered (loop); any judgement (judging).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from doorward.core.errors import Unavailable
from doorward.core.ports import Clock
from doorward.gateway.authorizer.calls import Answerer
from doorward.gateway.authorizer.loop import AuthorizerLoop
from doorward.gateway.peers import RefusedPeers, peer_of
from doorward.gateway.private_socket import HINT, SocketRefused, bind_private_socket, remove_socket

_STOP_SECONDS = 5.0
"""For the thread, after the grace."""


class AuthorizerServer:
    """Listens on a unix socket from `start` until `stop`.

    Args:
        answerer: answers the calls; it is called by the loop's thread.
        path: of the socket; one that an earlier run left is replaced.
        clock: for deadlines.
        admit: whether a process of our own user may connect; it must not wait.
    """

    def __init__(
        self,
        answerer: Answerer,
        path: Path,
        *,
        clock: Clock,
        admit: Callable[[int], bool] = lambda _pid: True,
    ) -> None:
        self._path = path
        self._clock = clock
        self._refusals = RefusedPeers(
            clock, event="authorizer-connection-refused", asked="asked the authorizer"
        )
        self._answerer = answerer
        self._admit = admit
        self._loop: AuthorizerLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            Unavailable: `authorizer-socket`: the socket cannot be made, or its place is not safe.
        """
        try:
            listener = bind_private_socket(self._path)
        except SocketRefused as refused:
            raise Unavailable(
                "authorizer-socket", f"the authorizer cannot listen at {self._path}: {refused}", hint=HINT
            ) from refused
        made = self._path.lstat()
        self._loop = AuthorizerLoop(
            listener,
            self._answerer,
            clock=self._clock,
            admits=self._admits,
            closed=lambda: remove_socket(self._path, made),
        )
        self._thread = threading.Thread(target=self._loop.run, name="authorizer", daemon=True)
        self._thread.start()

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Accept no more calls, finish those that are being answered, close all connections and remove the socket.

        Args:
            grace_seconds: for the calls that are being answered.
        """
        if self._loop is not None and self._thread is not None:
            self._loop.stop(grace_seconds)
            self._thread.join(grace_seconds + _STOP_SECONDS)

    def trouble(self) -> str:
        """Return a sentence if another process connected within the last minute; empty if none did."""
        return self._refusals.trouble()

    def _admits(self, peer: socket.socket) -> int | None:
        """Return the process at the other end, None if it must not ask."""
        pid, uid = peer_of(peer)
        if uid != os.geteuid() or pid <= 0 or not self._admit(pid):  # no process id: of another PID namespace
            self._refusals.note(pid, uid)
            return None
        return pid
