"""The unix socket at which the gateway's own Envoy gets its configuration, private keys included.

Before one octet is read or written, the server asks the kernel which process connected (SO_PEERCRED):
1. Its user must be ours. The socket has mode 0600 in a folder with mode 0700, so no other user can connect, except root.
2. `admit` must know its process: an Envoy that this gateway started or adopted.
3. Only a few connections are served at once: one for each Envoy that runs or drains.
Any other connection is closed. Such an attempt is logged and shown in `status`, unless the process is an Envoy of ours that
gets nothing: one that drains goes on asking after a restart of the gateway.
Standard: Linux unix(7), SO_PEERCRED.

Not here: what an Envoy is sent (cache), one connection (connection).
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from doorward.core.errors import Unavailable
from doorward.core.ports import Clock
from doorward.gateway.peers import RefusedPeers, peer_of
from doorward.gateway.private_socket import HINT, SocketRefused, bind_private_socket, remove_socket
from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.connection import (
    ConnectionDeadlines,
    DiscoveryConnection,
    DiscoveryStream,
)
from doorward.gateway.wakeup import Wakeup

CONNECTIONS = 8
"""At once: an Envoy that runs and those that drain, each with a second one while the first ends."""

_STOP_SECONDS = 3.0
_AGAIN_SECONDS = 0.2

_log = structlog.get_logger("doorward.discovery")


class DiscoveryServer:
    """Listens from `start` until `stop`; safe between threads.

    Args:
        path: of the socket; a socket that an earlier run left is replaced.
        api: reads requests.
        admit: the stream for a process that may connect, None for any other one; it must not wait.
        clock: for deadlines and for how long `trouble` reports a refused connection.
        deadlines: of each connection.
        is_ours: whether a process that is not admitted is an Envoy of ours nevertheless.
    """

    def __init__(
        self,
        path: Path,
        api: EnvoyApi,
        admit: Callable[[int], DiscoveryStream | None],
        *,
        clock: Clock,
        deadlines: ConnectionDeadlines | None = None,
        is_ours: Callable[[int], bool] = lambda _pid: False,
    ) -> None:
        self._path = path
        self._api = api
        self._admit = admit
        self._clock = clock
        self._deadlines = deadlines
        self._is_ours = is_ours
        self._lock = threading.Lock()
        self._connections: set[DiscoveryConnection] = set()
        self._refusals = RefusedPeers(
            clock, event="discovery-connection-refused", asked="asked for its configuration"
        )
        self._stopping = threading.Event()
        self._wakeup: Wakeup | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            Unavailable: `discovery-socket`: the socket cannot be made, or its place is not safe.
        """
        try:
            listener = bind_private_socket(self._path)
        except SocketRefused as refused:
            raise Unavailable(
                "discovery-socket",
                f"Envoy's configuration cannot be offered at {self._path}: {refused}",
                hint=HINT,
            ) from refused
        made = self._path.lstat()
        self._wakeup = Wakeup()
        self._thread = threading.Thread(
            target=self._accept_all, args=(listener, made, self._wakeup), name="discovery-accept", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, remove the socket, end each stream with a status, and wait for their ends."""
        self._stopping.set()
        if self._thread is None or self._wakeup is None:
            return
        self._wakeup.set()
        self._thread.join()
        with self._lock:
            connections = list(self._connections)
        for one in connections:
            one.stop()
        until = self._clock.monotonic() + _STOP_SECONDS
        for one in connections:
            one.join(max(0.0, until - self._clock.monotonic()))

    def trouble(self) -> str:
        """Return a sentence if a connection was refused within the last minute; empty if none was."""
        return self._refusals.trouble()

    def _accept_all(self, listener: socket.socket, made: os.stat_result, wakeup: Wakeup) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(wakeup.descriptor, select.POLLIN)
        with listener:
            while not self._stopping.is_set():
                poll.poll()
                try:
                    peer, _ = listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:  # out of descriptors, or the peer has gone
                    _log.error("discovery-accept-failed", error=error.strerror)
                    self._stopping.wait(_AGAIN_SECONDS)
                    continue
                try:
                    self._serve(peer)
                except Exception:  # noqa: BLE001  the next connection is accepted
                    _log.exception("discovery-accept-failed")
                    peer.close()
            remove_socket(self._path, made)
        wakeup.close()

    def _serve(self, peer: socket.socket) -> None:
        pid, uid = peer_of(peer)
        if uid != os.geteuid() or pid <= 0:  # no process id: of another PID namespace
            self._refuse(peer, pid, uid)
            return
        with self._lock:
            crowded = len(self._connections) >= CONNECTIONS
        if crowded:  # asked first: a new stream would end an older one
            peer.close()
            _log.error("discovery-connections-exhausted", pid=pid, most=CONNECTIONS)
            return
        stream = self._admit(pid)
        if stream is None:
            if self._is_ours(pid):
                peer.close()
            else:
                self._refuse(peer, pid, uid)
            return
        try:
            self._begin(peer, pid, stream)
        except BaseException:
            stream.close()
            raise

    def _begin(self, peer: socket.socket, pid: int, stream: DiscoveryStream) -> None:
        connection = DiscoveryConnection(
            peer,
            stream,
            pid=pid,
            parse=self._api.parse_request,
            clock=self._clock,
            deadlines=self._deadlines,
            ended=self._forget,
        )
        with self._lock:
            self._connections.add(connection)
        connection.start()

    def _refuse(self, peer: socket.socket, pid: int, uid: int) -> None:
        self._refusals.note(pid, uid)
        peer.close()

    def _forget(self, connection: DiscoveryConnection) -> None:
        with self._lock:
            self._connections.discard(connection)
