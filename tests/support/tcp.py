"""A server of plain bytes behind the door, and clients for it.

with greeter() as server:
    door.apply(app="bytes", upstream=f"tcp://127.0.0.1:{server.port}")
    with door.connect(alice, app="bytes") as client:
        client.sendall(b"x")
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.doorway import Doorway, Identity
from tests.support.servers import accepting

GREETING = b"220 who are you\r\n"


@dataclass
class Greeter:
    """Greets at once, as SMTP and MySQL do, and then echoes.

    `accepted` counts its connections, those of the gateway that looks whether it answers included; `spoken`
    those that sent something.
    """

    port: int = 0
    accepted: int = 0
    spoken: int = 0

    def serve(self, peer: socket.socket) -> None:
        """Serve one connection."""
        self.accepted += 1
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(GREETING)
        spoke = False
        while data := peer.recv(65536):
            self.spoken, spoke = self.spoken + (not spoke), True
            peer.sendall(data)


@contextlib.contextmanager
def greeter() -> Iterator[Greeter]:
    """Serve one on a free loopback port."""
    server = Greeter()
    with accepting(server.serve) as server.port:
        yield server


def offer(
    door: Doorway, identity: Identity | None, *, name: str | None, alpn: Sequence[str] = ()
) -> ssl.SSLSocket:
    """Connect with a server name (None sends none) and these protocols offered."""
    context = door.context(identity)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if name is None:
        context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", door.port), 30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def read_exactly(client: socket.socket, number: int) -> bytes:
    """Return so many bytes, or fewer if the connection ends before."""
    data = b""
    while len(data) < number and (piece := client.recv(number - len(data))):
        data += piece
    return data


def ports_of(pid: int, protocol: str, *, state: str = "") -> set[int]:
    """The local ports of a process's sockets; `state` as /proc/net writes it (`0A` for LISTEN)."""
    held = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(one.readlink()))
    found = set()
    for table in (protocol, f"{protocol}6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == (state or fields[3]) and f"socket:[{fields[9]}]" in held:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found
