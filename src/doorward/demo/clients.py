"""HTTPS and WebSocket clients with a certificate, or without: the people of the demo, as programs.

Only the standard library and `websockets` are used; no openssl, no curl.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

TIMEOUT_SECONDS = 5.0
ALERT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a client saw: a status and a body, or the words of the failure."""

    status: int = 0
    body: Any = None
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The door's address: the host name, the port on loopback, and the root that its server certificate must have."""

    host: str
    port: int
    root: Path


@dataclass(slots=True, kw_only=True)
class Visitor:
    """One client; `certificate` and `key` are PEM files, None for a visitor without.

    `source` is the loopback address that it comes from; empty if that does not matter.
    """

    door: Door
    certificate: Path | None = None
    key: Path | None = None
    source: str = ""
    _kept: http.client.HTTPSConnection | None = field(default=None, init=False)

    def context(self) -> ssl.SSLContext:
        """Return a fresh TLS context that trusts the door's root only."""
        context = ssl.create_default_context(cafile=str(self.door.root))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def socket(self, host: str = "") -> ssl.SSLSocket:
        """Open TCP to loopback and finish the TLS handshake under the door's name, or another of its hosts."""
        source = (self.source, 0) if self.source else None
        plain = socket.create_connection(("127.0.0.1", self.door.port), TIMEOUT_SECONDS, source)
        # Without it the request waits for the acknowledgement of the handshake's end: 40 ms.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return self.context().wrap_socket(plain, server_hostname=host or self.door.host)
        except BaseException:
            plain.close()
            raise

    def get(
        self, path: str, *, keep: bool = False, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Outcome:
        """Send one request; with `keep`, on the connection of the last one, and keep it open."""
        connection = self._kept if keep else None
        try:
            if connection is None:
                connection = http.client.HTTPSConnection(
                    self.door.host, self.door.port, timeout=TIMEOUT_SECONDS
                )
                connection.sock = self.socket()
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            if connection is self._kept:
                self._kept = None
            return Outcome(failure=words_of(error))
        if keep:
            self._kept = connection
        else:
            connection.close()
        body: Any = text
        with suppress(ValueError):
            body = json.loads(text)
        return Outcome(status=response.status, body=body)

    def kept_socket(self) -> ssl.SSLSocket:
        """Return the socket of the kept connection."""
        if self._kept is None or not isinstance(self._kept.sock, ssl.SSLSocket):
            raise ConnectionError("no connection is kept open")
        return self._kept.sock

    def live(self, path: str, headers: Mapping[str, str] | None = None) -> ClientConnection:
        """Open a WebSocket, on a TLS connection of our own making."""
        return connect(
            f"ws://{self.door.host}:{self.door.port}{path}",
            sock=self.socket(),
            additional_headers=headers,
            ping_interval=None,
            open_timeout=TIMEOUT_SECONDS,
            close_timeout=0.2,
        )

    def knock(self, path: str) -> Outcome:
        """Finish the handshake and listen before speaking, as the alert of TLS 1.3 comes after it.

        A door that lets us in says nothing unasked, so that silence is followed by the request.
        """
        try:
            with self.socket() as secure:
                if select.select([secure], [], [], ALERT_SECONDS)[0]:
                    secure.recv(1)
                    return Outcome(failure="connection closed")
        except OSError as error:
            return Outcome(failure=words_of(error))
        return self.get(path)

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def words_of(error: BaseException) -> str:
    """Return the TLS alert or the kind of failure, in the words that a reader of RFC 8446 knows."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return (
            error.reason.lower()
            .replace("tlsv1_alert_", "")
            .replace("tlsv13_alert_", "")
            .replace("sslv3_alert_", "")
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.RemoteDisconnected):
        return "connection closed"
    return type(error).__name__


def ended_within(live: ClientConnection, seconds: float) -> float | None:
    """Read a WebSocket until it ends; return the wall-clock time of its end; None if it did not end."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            live.recv(timeout=max(0.001, limit - time.monotonic()))
        except TimeoutError:
            return None
        except (WebSocketException, OSError):
            return time.time()
    return None
