"""An application behind the door that writes down every request as its bytes came, and echoes it.

It reads HTTP/1.1 as lax servers do: whatever it takes for a request is on record, so a smuggled one is.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from doorward.enforcement.envoy.names import IDENTITY_HEADERS, SURFACE_HEADERS
from tests.support.servers import accepting

SPOOFED = [
    ("doorward-principal", "person/alice"),
    ("doorward-assertion", "a.b.c"),
    ("doorward-certificate", "crt_alice"),
    ("client-cert", ":AAAA:"),
    ("doorward-refusal", "none"),
    ("doorward-claimed-certificate", "alice"),
    ("doorward-source", "192.0.2.66"),
    ("doorward-application", "app_other"),
    ("x-forwarded-client-cert", "By=x;Subject=alice"),
]
"""Identity headers that a client might send under the door's names."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One request: target and fields as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all_of(self, name: str) -> list[str]:
        """Return every value of a header field."""
        return [value for found, value in self.headers if found == name]


def said_of(request: Witnessed) -> set[str]:
    """Return which names of ours a request has."""
    ours = {*IDENTITY_HEADERS, *SURFACE_HEADERS, "x-forwarded-client-cert"}
    return {name for name, _ in request.headers if name in ours or name.startswith("doorward")}


@dataclass
class Witness:
    """The bytes that arrived, in order; `blind_to` names framing fields that this server does not know."""

    port: int = 0
    requests: list[Witnessed] = field(default_factory=list)
    connections: int = 0
    blind_to: frozenset[str] = frozenset()

    def since(self, mark: int) -> list[Witnessed]:
        """Return what arrived after `len(requests)` was `mark`."""
        return self.requests[mark:]

    def targets(self, mark: int = 0) -> list[str]:
        """Return the targets of what arrived."""
        return [one.target for one in self.requests[mark:]]


@contextmanager
def standing_witness(path: Path | None = None) -> Iterator[Witness]:
    """Listen on a port of loopback, or on a unix socket, for as long as the block runs."""
    witness = Witness()

    def serve(peer: socket.socket) -> None:
        witness.connections += 1
        _serve(peer, witness)

    with accepting(serve, path) as witness.port:
        yield witness


def _serve(peer: socket.socket, witness: Witness) -> None:
    with suppress(OSError, ValueError, EOFError), peer.makefile("rb") as stream:
        while line := stream.readline():
            if line.strip():
                _answer(peer, stream, line, witness)


def _answer(peer: socket.socket, stream: object, line: bytes, witness: Witness) -> None:
    read = stream.readline  # type: ignore[attr-defined]
    method, _, rest = line.decode("latin-1").strip().partition(" ")
    headers = []
    while (text := read().decode("latin-1").strip("\r\n")) != "":
        name, _, value = text.partition(":")
        headers.append((name.strip().lower(), value.strip()))
    known = {name: value for name, value in headers if name not in witness.blind_to}
    body = b""
    if known.get("transfer-encoding", "").lower() == "chunked":
        while size := int(read().strip() or b"0", 16):
            body += stream.read(size)  # type: ignore[attr-defined]
            read()
        read()
    elif length := int(known.get("content-length", "0")):
        body = stream.read(length)  # type: ignore[attr-defined]
    request = Witnessed(method, rest.rpartition(" ")[0], tuple(headers), body)
    witness.requests.append(request)
    if "upgrade" in known:
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := peer.recv(4096):
            peer.sendall(data)
        raise EOFError
    seen = {"method": method, "path": request.target, "headers": headers, "length": len(body)}
    text = json.dumps(seen).encode()
    head = b"HTTP/1.1 200 OK\r\nx-powered-by: witness\r\ncontent-length: %d\r\n\r\n" % len(text)
    peer.sendall(head + (b"" if method == "HEAD" else text))
