"""Runs an ASGI application on a TCP address or a unix socket: start with clear errors, graceful stop.

Not here: applications (app). TLS ends in the gateway; these servers have no certificate.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.web.protocol import GuardedProtocol, LargeHeadProtocol, SpellingProtocol

MAX_CONNECTIONS = 1024
"""Precedent: nginx's worker_connections is 512 or 768 in packages."""

ProtocolFactory = Callable[..., GuardedProtocol]
"""Makes the protocol of one connection with uvicorn's options."""

BACKLOG = 512
GRACE_SECONDS = 10
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """An address and a port; port 0 means a free port. `host` is an IP address or a name, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketPath:
    """A unix socket, with the file mode that says who may connect (default: the owner only)."""

    path: Path
    mode: int = 0o600

    def __str__(self) -> str:
        return f"unix:{self.path}"


class WebServer:
    """One application on one address, in its own thread.

    `start()` returns when connections are accepted; `stop()` when the last answer was sent or the grace period is over.
    `start()` binds the address, so that a port in use is an error and not only a log line. One with `large_heads` takes
    heads of requests of up to 64 KiB; one with `spells` does too, and spells the names of response fields as the RFCs do.
    `protocol` makes connections that answer some paths themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        address: TcpAddress | SocketPath,
        *,
        name: str,
        large_heads: bool = False,
        spells: bool = False,
        protocol: ProtocolFactory | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._socket: socket.socket | None = None
        self._inode = 0
        usual = SpellingProtocol if spells else LargeHeadProtocol if large_heads else GuardedProtocol
        self._uvicorn = _QuietServer(_config(app, protocol or usual))
        self._thread = threading.Thread(target=self._run, name=f"web-{name}", daemon=True)

    def start(self) -> None:
        """Bind, and take connections.

        Raises:
            Unavailable: `address-in-use`.
            ConfigurationError: `listen-impossible` if the address does not belong to this machine, the port needs
                privileges, or the path cannot be a socket.
        """
        try:
            self._socket = self._bind()
        except OSError as error:
            raise _explain(error, self.name, self.address) from None
        if isinstance(self.address, TcpAddress):
            self.address = TcpAddress(host=self.address.host, port=self._socket.getsockname()[1])
        self._thread.start()
        self._wait_until_started()

    def stop(self) -> None:
        """Accept no more connections, let open answers finish, and remove the socket file."""
        self._uvicorn.finish()
        if self._thread.is_alive():
            self._thread.join(GRACE_SECONDS + 2.0)
        if isinstance(self.address, SocketPath) and self._inode:
            with suppress(OSError):  # another server may have created its own socket there
                if self.address.path.stat().st_ino == self._inode:
                    self.address.path.unlink()

    def _run(self) -> None:
        assert self._socket is not None
        self._uvicorn.run(sockets=[self._socket])

    def _wait_until_started(self) -> None:
        pause = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            if self._uvicorn.started:
                return
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self.stop()
        raise Unavailable("server-not-started", f"the {self.name} server did not start", hint="see the log")

    def _bind(self) -> socket.socket:
        if isinstance(self.address, SocketPath):
            return self._bind_path(self.address)
        family, kind, protocol, _, where = socket.getaddrinfo(
            self.address.host, self.address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError:
            listener.close()
            raise
        return listener

    def _bind_path(self, address: SocketPath) -> socket.socket:
        _remove_stale(address.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # between bind and chmod no other user may connect
        try:
            listener.bind(str(address.path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        address.path.chmod(address.mode)
        self._inode = address.path.stat().st_ino
        return listener


class DatedServerState(ServerState):
    """What the connections of one server share; renders the Date header when it is asked for, at most once a second.

    uvicorn renders it ten times a second, also if there is no request, in each of our servers.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._now = now
        self._second = -1
        self._fields: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The fields of every answer; the same list until the second is over."""
        second = int(self._now())
        if second != self._second:
            self._fields = [(b"date", formatdate(second, usegmt=True).encode())]
            self._second = second
        return self._fields

    @default_headers.setter
    def default_headers(self, _fields: list[tuple[bytes, bytes]]) -> None:
        """Ignore what uvicorn sets at its start: an empty list."""


class _QuietServer(uvicorn.Server):
    """A server that sleeps while nothing happens."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = DatedServerState()

    async def main_loop(self) -> None:
        """Wait for the end; replaces uvicorn's loop."""
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:  # read after `_loop` is set: `finish` does the two in the other order
            await self._ended.wait()

    def finish(self) -> None:
        """End at once; callable from any thread, also before the start and after the end."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._ended.set)


def _config(app: ASGIApp, protocol: ProtocolFactory) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("Any", protocol),  # uvicorn calls it, whatever it is
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that crashed, on which no process listens; change nothing else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket exists", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another server listens on this socket")


def _explain(error: OSError, name: str, address: TcpAddress | SocketPath) -> Unavailable | ConfigurationError:
    """Return our error for a failed bind."""
    if error.errno == errno.EADDRINUSE:
        hint = "stop the other program, or choose another address in the settings"
        return Unavailable("address-in-use", f"{address} ({name}) is in use already", hint=hint)
    why = error.strerror or str(error)
    hint = "ports below 1024 need privileges" if error.errno == errno.EACCES else "choose another address"
    fault = Fault(code="listen-impossible", message=f"cannot listen on {address} ({name}): {why}", hint=hint)
    return ConfigurationError([fault])
