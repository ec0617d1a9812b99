"""Servers of CRLs and OCSP answers that are dead, slow or lying: bytes as they are written here.

    with served(say(answer(b"body"))) as place:
        fetch(place.url)

A script gets the connection after the request's head and body were read; `place.requests` holds them.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[[socket.socket, bytes], None]


@dataclass(kw_only=True)
class Place:
    """Where a server listens, and what it was asked so far."""

    port: int
    secure: bool = False
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """At its root."""
        return f"http{'s' if self.secure else ''}://127.0.0.1:{self.port}/"


def answer(body: bytes = b"", *, status: str = "200 OK", length: int | None = None, **fields: str) -> bytes:
    """One HTTP answer; `length` is what it says of itself; `last_modified=` becomes `last-modified`."""
    fields = {"content-length": str(len(body) if length is None else length), **fields}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {text}" for name, text in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def say(*pieces: bytes, pause: float = 0) -> Script:
    """Write these bytes, with a pause after each piece, and hang up."""

    def script(connection: socket.socket, _request: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)

    return script


def drip(head: bytes, piece: bytes = b"x", seconds: float = 0.05) -> Script:
    """A head, and then for ever the same piece, a few each second; 0 sends as fast as it goes."""

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(seconds)

    return script


def silent(connection: socket.socket, _request: bytes) -> None:
    """Never answer, until the other side hangs up."""
    connection.settimeout(30)
    connection.recv(1)


def moved(location: str, status: str = "302 Found") -> Script:
    """Point elsewhere."""
    return say(answer(status=status, location=location))


def play_last(scripts: list[Script]) -> Script:
    """Play the script that is the last of the list at the time of the request."""

    def play(connection: socket.socket, request: bytes) -> None:
        scripts[-1](connection, request)

    return play


@contextlib.contextmanager
def served(*scripts: Script, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Place]:
    """Serve on a (free) loopback port: one script for each connection, the last one for all further."""
    with socket.create_server(("127.0.0.1", port)) as listener, contextlib.ExitStack() as open_now:
        place = Place(port=listener.getsockname()[1], secure=context is not None)
        listener.settimeout(0.05)
        over = threading.Event()

        def play(connection: socket.socket, script: Script) -> None:
            with contextlib.suppress(OSError):
                secure = context.wrap_socket(connection, server_side=True) if context else connection
                with secure:
                    request = _read_request(secure)
                    place.requests.append(request)
                    script(secure, request)
            connection.close()

        def listen() -> None:
            count = 0
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(30)
                    script = scripts[min(count, len(scripts) - 1)]
                    count += 1
                    thread = threading.Thread(target=play, args=(connection, script))
                    thread.start()
                    open_now.callback(thread.join)
                    open_now.callback(_hang_up, connection)

        accepting = threading.Thread(target=listen)
        accepting.start()
        try:
            yield place
        finally:
            over.set()
            accepting.join()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read_request(connection: socket.socket) -> bytes:
    """The head, and a body of the length that it names."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096) or b"\r\n\r\n"
    head, _, body = request.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(4096)
    return head + b"\r\n\r\n" + body
