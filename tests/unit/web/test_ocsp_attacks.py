"""The status listener's own reading of OCSP requests: what two readers could take for two requests is answered by none.

Nothing stands between a stranger and this listener. Each case comes as the first bytes of a connection, and is followed by a good request that
must not be answered if the first was refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.x509 import ocsp

from doorward.web import protocol
from doorward.web.ocsp import MAX_OCSP_REQUEST_BYTES
from doorward.web.pool import UseCasePool
from tests.support.ocsp_listener import OCSP_TYPE, Listener, listening, render
from tests.support.world import found_world

HEAD = f"POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: {OCSP_TYPE}\r\n"
BODY = b"0" * 50
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """A status listener without a socket."""
    pool = UseCasePool(workers=2)
    with listening(found_world().services, pool) as made:
        yield made
    pool.close()


def ask(listener: Listener, fields: str, body: bytes) -> tuple[bytes, bool]:
    """Send a head with these fields and a good request behind it; return what comes, and whether the connection ends."""
    peer = listener.connect()
    peer.send(f"{HEAD}{fields}\r\n\r\n".encode("latin-1") + body + render("GET /healthz"))
    listener.turn(0.05)
    return bytes(peer.wire.written), peer.wire.is_closing()


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (f"Content-Length: {len(CHUNKS)}\r\nTransfer-Encoding: chunked", CHUNKS),
        ("Content-Length: 50\r\nContent-Length: 3", BODY),
        ("Content-Length: 50\r\nContent-Length: 50", BODY),
        ("Transfer-Encoding: identity", BODY),
        ("Transfer-Encoding: chunked, gzip", CHUNKS),
        ("Transfer-Encoding: chunked", b"zz\r\n"),
        ("Content-Length: +50", BODY),
        ("Content-Length: 0x32", BODY),
        ("Content-Length : 50", BODY),
        ("Content-Length: 5\r\n 0", BODY),
        ("Content-Length: 99999999999999999999999", b""),
        ("X: a\x00b\r\nContent-Length: 50", BODY),
        ("X: a\nContent-Length: 50", BODY),
    ],
)
def test_a_request_with_two_meanings_ends_its_connection(
    listener: Listener, fields: str, body: bytes
) -> None:
    """400, nothing else, and the bytes behind it are not read (RFC 9112 sections 5.1, 6.1 and 6.3)."""
    written, ends = ask(listener, fields, body)
    assert written.startswith(b"HTTP/1.1 400 ")
    assert written.count(b"HTTP/1.1 ") == 1
    assert ends


@pytest.mark.parametrize("size", [MAX_OCSP_REQUEST_BYTES + 1, 10**9])
def test_a_large_body_is_not_taken(listener: Listener, size: int) -> None:
    """It is refused by its announced size, before it comes, and the connection ends."""
    written, ends = ask(listener, f"Content-Length: {size}", b"")
    assert written.startswith(b"HTTP/1.1 413 ")
    assert written.count(b"HTTP/1.1 ") == 1
    assert ends


def test_a_long_path_is_not_taken(listener: Listener) -> None:
    """A head of more than 16 KiB is refused as for every other path."""
    peer = listener.connect()
    peer.send(b"GET /ocsp/" + b"A" * (2 * protocol.MAX_HEAD_BYTES) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert bytes(peer.wire.written).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert peer.wire.is_closing()


def test_the_body_of_a_request_for_another_protocol_is_no_request(listener: Listener) -> None:
    """The parser gives no body then, whenever it comes, and nothing behind it is answered."""
    peer = listener.connect()
    upgrade = "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 50"
    peer.send(f"{HEAD}{upgrade}\r\n\r\n".encode())
    (answer,) = peer.answers(1)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert answer.ocsp.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    peer.send(render("GET /healthz"))
    assert bytes(peer.wire.written) == b""
