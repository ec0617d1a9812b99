"""Bytes that are neither TLS nor HTTP: one connection ends, nothing gets through."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPConnection

import pytest

from tests.integration.bad_input.conftest import DICE
from tests.support.doorway import Doorway

pytestmark = pytest.mark.xdist_group("bad-wire")

# bytes on the wire


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        DICE.randbytes(4000),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    ],
    ids=["nothing", "lines", "plain", "noise", "hello", "preface"],
)
def test_bytes_that_are_no_handshake(door: Doorway, raw: bytes) -> None:
    """Any bytes in place of a TLS handshake end only that connection."""
    with socket.create_connection(("127.0.0.1", door.port), 5) as peer:
        _send(peer, raw)
        answer = _read(peer) or b""
    assert b"HTTP/1.1 200" not in answer


def _send(peer: socket.socket, raw: bytes) -> None:
    try:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the door hung up first


def _read(peer: socket.socket) -> bytes | None:
    peer.settimeout(10)
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except OSError:
        return data or None
    return data


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test.localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test.localhost\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(300)) + b"\r\n",
        b"GET /reports/1 HTTP/1.1\r\nHost: app.test.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /reports/1 HTTP/1.1\r\nHost: app.test.localhost\r\nHost: other\r\n\r\n",
        b"GET /reports/\x001 HTTP/1.1\r\nHost: app.test.localhost\r\n\r\n",
        DICE.randbytes(3000),
    ],
    ids=["zeros", "half", "version", "long field", "many fields", "smuggled", "two hosts", "nul", "noise"],
)  # fmt: skip
def test_requests_that_are_none(door: Doorway, raw: bytes) -> None:
    """An authenticated client that sends nonsense is answered with an error or hung up on; nothing gets through."""
    seen = door.upstream.calls
    with door.connect(door.identities["alice"]) as secure:
        _send_tls(secure, raw)
        answer = _read(secure)
    assert answer is None or answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert b"Traceback" not in (answer or b"")
    assert door.upstream.calls == seen


def _send_tls(secure: ssl.SSLSocket, raw: bytes) -> None:
    try:
        secure.sendall(raw)
        secure.unwrap()
    except OSError:
        pass


@pytest.mark.parametrize(
    "raw", [b"\x00" * 50, b"GET\r\n\r\n", DICE.randbytes(2000), b"POST /ocsp HTTP/1.1\r\n"]
)
def test_nonsense_at_the_status_listener(door: Doorway, raw: bytes) -> None:
    """The listener for revocation data hangs up on nonsense and goes on."""
    port = int(door.installation.settings.status_listen.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as peer:
        _send(peer, raw)
        answer = _read(peer)
    assert b"Traceback" not in (answer or b"")
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
