"""A WebSocket, an event stream and an answer on which nothing moves for more than five minutes live on."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Iterator

from tests.support.doorway import DOMAIN, Doorway, open_doorway
from tests.support.servers import serving

SILENCE_SECONDS = 320.0
HOST = f"Host: app.{DOMAIN}\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUESTS = {
    "WebSocket": f"GET /live HTTP/1.1\r\n{HOST}{UPGRADE}\r\n",
    "event stream": f"GET /events HTTP/1.1\r\n{HOST}\r\n",
    "slow answer": f"GET /slow HTTP/1.1\r\n{HOST}\r\n",
}
LATER = {
    b"/live": b"\x81\x05after",
    b"/events": b"d\r\ndata: after\n\n\r\n",
    b"/slow": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter",
}
AT_ONCE = {b"/live": SWITCHED, b"/events": STREAM, b"/slow": b""}


class Silent(socketserver.ThreadingTCPServer):
    """An application that begins, says nothing until it may, and then says one thing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Quiet)
        self.speak = threading.Event()


class _Quiet(socketserver.StreamRequestHandler):
    server: Silent

    def handle(self) -> None:
        path = self.rfile.readline().split()[1]
        while self.rfile.readline().strip():
            pass
        self.wfile.write(AT_ONCE[path])
        self.server.speak.wait(SILENCE_SECONDS * 2)
        self.wfile.write(LATER[path])


@contextlib.contextmanager
def silent_application(door: Doorway) -> Iterator[Silent]:
    """Put it into force behind the door, for everybody."""
    server = Silent()
    with serving(server):
        door.apply("- {allow: {kind: person}}", upstream=f"http://127.0.0.1:{server.server_address[1]}")
        try:
            yield server
        finally:
            server.speak.set()


def test_silence_ends_nothing() -> None:
    """What a reverse proxy is expected to hold: an hour is the default, five minutes were too short."""
    with open_doorway() as door, silent_application(door) as application, contextlib.ExitStack() as stack:
        alice = door.person("alice")
        streams = {}
        for name, request in REQUESTS.items():
            streams[name] = stack.enter_context(door.connect(alice))
            streams[name].sendall(request.encode())
        assert streams["WebSocket"].recv(4096).startswith(b"HTTP/1.1 101")
        assert streams["event stream"].recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(SILENCE_SECONDS)
        application.speak.set()
        for name, stream in streams.items():
            stream.settimeout(60)
            assert b"after" in stream.recv(4096), name
