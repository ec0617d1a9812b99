"""What one connection may send, byte for byte: no socket, so that one read is what the test says it is."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

from doorward.web.protocol import _TOO_LARGE, MAX_HEAD_BYTES, MAX_PIPELINED, GuardedProtocol

READ_BYTES = 256 * 1024
"""What asyncio reads at once (`max_size` of its selector transport)."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and closes when told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._closing = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        """Reads are what the test gives."""

    def resume_reading(self) -> None:
        """As above."""


class Counted(GuardedProtocol):
    """Counts the heads that were taken, and the bytes that the parser saw."""

    heads = 0
    parsed = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.heads += 1

    def _take(self, data: bytes) -> None:
        self.parsed += len(data)
        super()._take(data)


def receive(read: bytes) -> tuple[Counted, Wire]:
    """Give one read to a fresh connection; no request is answered meanwhile."""

    async def once() -> tuple[Counted, Wire]:
        made = Counted(Config(Starlette(), log_config=None, lifespan="off"), ServerState(), {})
        wire = Wire()
        made.connection_made(wire)
        made.data_received(read)
        made.connection_lost(None)
        return made, wire

    return asyncio.run(once())


def head(length: int) -> bytes:
    """A whole request head of so many bytes."""
    begin, end = b"GET / HTTP/1.1\r\nHost: x\r\nX-Field: ", b"\r\n\r\n"
    return begin + b"a" * (length - len(begin) - len(end)) + end


def test_a_long_head_is_refused_though_it_is_whole_in_one_read() -> None:
    """The size of a head does not depend on how the network cut it."""
    protocol, wire = receive(head(100_000))
    assert (protocol.heads, wire.written) == (0, _TOO_LARGE)
    assert wire.is_closing()
    assert protocol.parsed <= 2 * MAX_HEAD_BYTES


def test_a_head_within_the_limit_is_taken() -> None:
    """The limit's own length passes."""
    protocol, wire = receive(head(MAX_HEAD_BYTES))
    assert (protocol.heads, wire.written) == (1, b"")


def test_a_further_request_does_not_prolong_the_answer_before_it() -> None:
    """The time of an answer runs from its own request; pipelined requests do not prolong it."""

    async def run() -> None:
        made = Counted(Config(Starlette(), log_config=None, lifespan="off"), ServerState(), {})
        made.connection_made(Wire())
        made.data_received(head(100))
        timer = made._answer_timer
        assert timer is not None
        made.data_received(head(100))
        assert made.heads == 2
        assert made._answer_timer is timer
        made.connection_lost(None)
        assert timer.cancelled()

    asyncio.run(run())


def test_a_read_full_of_requests_is_dropped_at_the_first_too_many() -> None:
    """Of 14,000 requests in one read, few are made, and the rest of the read is not even parsed."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    protocol, wire = receive(request * (READ_BYTES // len(request)))
    assert protocol.heads == MAX_PIPELINED + 1
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert wire.is_closing()
    assert protocol.parsed == MAX_HEAD_BYTES


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize("begin", [CHUNKED + b"0\r\n", CHUNKED + b"1;", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("filling", [b"a:b\r\n", b"a", b"\r\n"])
def test_what_is_no_body_is_limited_behind_a_head_too(begin: bytes, filling: bytes) -> None:
    """Trailer fields, extensions of a chunk and line breaks without end: neither memory nor processor time without limit."""
    protocol, wire = receive(begin + filling * 100_000)
    assert wire.written == _TOO_LARGE or wire.written.startswith(b"HTTP/1.1 400 ")
    assert protocol.parsed <= 3 * MAX_HEAD_BYTES
    assert len(protocol.headers) <= 2


def test_a_body_may_have_any_number_of_chunks_and_some_trailer_fields() -> None:
    """The limit is for what is no body; trailer fields are dropped."""
    chunks = b"1\r\na\r\n" * 20_000
    protocol, wire = receive(CHUNKED + chunks + b"0\r\nX-Checksum: 1\r\n\r\n")
    assert wire.written == b""
    assert [name for name, _ in protocol.headers] == [b"host", b"transfer-encoding"]


def test_a_request_for_another_protocol_is_the_last() -> None:
    """The parser gives no body of such a request, so its bytes must not be read as the next one."""
    app = Starlette(routes=[Route("/", answer_hello, methods=["POST"])])

    async def once() -> Wire:
        made = GuardedProtocol(Config(app, log_config=None, lifespan="off"), ServerState(), {})
        wire = Wire()
        made.connection_made(wire)
        fields = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 30\r\n\r\n"
        made.data_received(b"POST / HTTP/1.1\r\n" + fields)
        for _ in range(9):
            await asyncio.sleep(0)
        made.data_received(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(9):
            await asyncio.sleep(0)
        made.connection_lost(None)
        return wire

    wire = asyncio.run(once())
    assert wire.written.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in wire.written
    assert wire.is_closing()


async def answer_hello(_request: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("hello")
