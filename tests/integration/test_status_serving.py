"""A web server on a socket: starts or says why not, stops gently, and cannot be held by slow peers."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.web import protocol
from doorward.web.edge import EdgeMiddleware, read_body
from doorward.web.serving import SocketPath, TcpAddress, WebServer
from tests.support.refusals import refused

LOCAL = TcpAddress(host="127.0.0.1", port=0)
RUNS = threading.Event()
GATE = threading.Event()


async def hello(_request: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("hello")


async def slow(_request: Request) -> Response:
    """Say that the request runs, and answer when the test says so."""
    import asyncio

    RUNS.set()
    await asyncio.to_thread(GATE.wait, 10)
    return PlainTextResponse("done")


async def echo(request: Request) -> Response:
    """Answer with the length of the body."""
    return PlainTextResponse(str(len(await read_body(request, 100_000))))


async def flood(_request: Request) -> Response:
    """Answer with 64 MiB."""
    return StreamingResponse(iter([b"x" * 65536] * 1024))


def app() -> Starlette:
    """Return a small application."""
    routes = [
        Route("/", hello),
        Route("/slow", slow),
        Route("/flood", flood),
        Route("/echo", echo, methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(EdgeMiddleware)])


@contextmanager
def running(address: TcpAddress | SocketPath = LOCAL) -> Iterator[WebServer]:
    """Run a server for as long as the block runs."""
    server = WebServer(app(), address, name="test")
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert not server._thread.is_alive()


def connect(server: WebServer) -> socket.socket:
    """Connect to a running server."""
    if isinstance(server.address, SocketPath):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.connect(str(server.address.path))
    else:
        peer = socket.create_connection((server.address.host, server.address.port))
    peer.settimeout(10)
    return peer


def talk(server: WebServer, request: bytes) -> bytes:
    """Send bytes and return everything until the server closes."""
    with connect(server) as peer:
        peer.sendall(request)
        return read_all(peer)


def read_all(peer: socket.socket) -> bytes:
    """Return everything until the other side closes or resets."""
    parts = []
    try:
        while part := peer.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_tcp_server_answers_on_the_port_it_was_given() -> None:
    """Port 0 becomes a real port, and the answer has the present date and says nothing of the software."""
    with running() as server:
        assert isinstance(server.address, TcpAddress)
        assert server.address.port > 0
        began = int(time.time())
        answer = talk(server, GET)
        ended = time.time()
    (date,) = [line[6:] for line in answer.split(b"\r\n") if line.lower().startswith(b"date: ")]
    assert began <= parsedate_to_datetime(date.decode()).timestamp() <= ended
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"hello")
    assert b"server:" not in answer.lower()


def test_a_port_in_use_is_an_error_and_not_a_log_line() -> None:
    """The second server on a port says so before it starts."""
    with running() as server, refused(Unavailable, "address-in-use") as caught:
        WebServer(app(), server.address, name="status").start()
    assert str(server.address) in caught.value.detail
    assert "status" in caught.value.detail


@pytest.mark.parametrize(
    "address",
    [
        TcpAddress(host="192.0.2.1", port=0),
        TcpAddress(host="2001:db8::1", port=0),
        TcpAddress(host="no-such-host.invalid", port=0),
        SocketPath(path=Path("/nonexistent/x.sock")),
        SocketPath(path=Path("/tmp/" + "x" * 200)),
    ],
)
def test_an_impossible_address_is_explained(address: TcpAddress | SocketPath) -> None:
    """An address that is not ours is a configuration fault that names it."""
    with refused(ConfigurationError, "listen-impossible") as caught:
        WebServer(app(), address, name="status").start()
    assert str(address) in str(caught.value)


def test_a_unix_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600 from the first moment, removed at the end."""
    path = tmp_path / "enrol.sock"
    with running(SocketPath(path=path)) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert talk(server, GET).endswith(b"hello")
    assert not path.exists()


def test_the_mode_of_a_unix_socket_can_be_chosen(tmp_path: Path) -> None:
    """A group may be let in, and the process's umask is as it was."""
    before = os.umask(0o022)
    os.umask(before)
    with running(SocketPath(path=tmp_path / "x.sock", mode=0o660)):
        assert stat.S_IMODE((tmp_path / "x.sock").stat().st_mode) == 0o660
        after = os.umask(before)
    assert after == before


def test_the_socket_of_a_server_that_died_is_taken_over(tmp_path: Path) -> None:
    """A socket file without a listener does not stop the next start."""
    path = tmp_path / "x.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    with running(SocketPath(path=path)) as server:
        assert talk(server, GET).endswith(b"hello")


def test_the_socket_of_a_living_server_is_not_taken(tmp_path: Path) -> None:
    """Two servers on one path: the second is refused, the first goes on."""
    with running(SocketPath(path=tmp_path / "x.sock")) as server:
        with pytest.raises(Unavailable, match="in use"):
            WebServer(app(), server.address, name="second").start()
        assert talk(server, GET).endswith(b"hello")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A wrong path in the settings deletes nothing."""
    (tmp_path / "x.sock").write_text("precious")
    with pytest.raises(ConfigurationError, match="not a socket"):
        WebServer(app(), SocketPath(path=tmp_path / "x.sock"), name="x").start()
    assert (tmp_path / "x.sock").read_text() == "precious"


def test_a_socket_of_another_program_is_not_removed(tmp_path: Path) -> None:
    """stop() removes its own socket file only."""
    path = tmp_path / "x.sock"
    with running(SocketPath(path=path)):
        path.unlink()
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_an_open_answer_is_finished_before_the_end() -> None:
    """stop() waits for the request that runs, while new connections are refused."""
    RUNS.clear()
    GATE.clear()
    server = WebServer(app(), LOCAL, name="test")
    server.start()
    with connect(server) as peer:
        peer.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert RUNS.wait(60)  # a request that was not read yet is no open answer: stop() would end at once
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        stopper.join(0.5)
        assert stopper.is_alive()
        GATE.set()
        assert read_all(peer).endswith(b"done")
        stopper.join(10)
    assert not server._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def closes_within(
    limit: str, monkeypatch: pytest.MonkeyPatch, sent: bytes, rest: Callable[[socket.socket], bytes]
) -> bytes:
    """Lower a limit, send bytes, and return what comes until the server closes."""
    monkeypatch.setattr(protocol, limit, 0.3)
    with running() as server, connect(server) as peer:
        peer.sendall(sent)
        return rest(peer)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Silence, half a head, and line breaks without end hold no connection."""
    assert closes_within("HEAD_SECONDS", monkeypatch, sent, read_all) == b""


def test_line_breaks_after_an_answer_do_not_hold_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The idle timer that uvicorn stops at any byte has one behind it."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    def drip(peer: socket.socket) -> bytes:
        first = peer.recv(65536)
        peer.sendall(b"\r\n")
        return first + read_all(peer)

    assert closes_within("HEAD_SECONDS", monkeypatch, request, drip).endswith(b"hello")


def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that the client does not read is not kept for ever."""
    pause = threading.Event()

    def late(peer: socket.socket) -> bytes:
        pause.wait(1.5)
        return read_all(peer)

    answer = closes_within("STALL_SECONDS", monkeypatch, b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n", late)
    assert len(answer) < 64 * 1024 * 1024


def test_a_slow_reader_that_reads_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall that ends in time does no harm."""
    pause = threading.Event()

    def late(peer: socket.socket) -> bytes:
        pause.wait(0.1)
        return read_all(peer)

    request = b"GET /flood HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = closes_within("STALL_SECONDS", monkeypatch, request, late)
    assert len(answer) > 64 * 1024 * 1024


def test_a_reader_that_takes_a_little_now_and_then_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer has a time in all, however often its reader takes something."""
    pause = threading.Event()

    def drip(peer: socket.socket) -> bytes:
        taken = b""
        try:
            while len(taken) < 32 * 1024 * 1024 and (piece := peer.recv(1 << 20)):
                taken += piece
                pause.wait(0.02)
        except OSError:
            pass
        return taken

    answer = closes_within("ANSWER_SECONDS", monkeypatch, b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n", drip)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(answer) < 32 * 1024 * 1024


def test_a_head_without_end_is_refused() -> None:
    """More than 16 KiB of header fields ends the connection at once, and nothing else."""
    with running() as server, connect(server) as peer:
        peer.settimeout(protocol.HEAD_SECONDS / 2)
        peer.sendall(b"GET / HTTP/1.1\r\n" + b"X-Field: %s\r\n" % (b"a" * 1000) * 17)
        assert read_all(peer) in (protocol._TOO_LARGE, b"")
        assert talk(server, GET).endswith(b"hello")


def test_a_large_body_is_not_taken_for_a_head() -> None:
    """A request in one piece with 30 KiB of body, twice on one connection, is answered twice."""
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n" + b"a" * 30000
    with running() as server:
        answer = talk(server, request + request.replace(b"Host", b"Connection: close\r\nHost", 1))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b"30000")


def test_few_requests_wait_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that sends thousands of requests at once is refused, and no task is made of most of them."""
    from uvicorn.protocols.http import httptools_impl

    made: list[int] = []

    class Counted(httptools_impl.RequestResponseCycle):
        def __init__(self, *words: object, **more: object) -> None:
            made.append(1)
            super().__init__(*words, **more)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Counted)
    GATE.clear()
    with running() as server, connect(server) as peer:
        peer.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
        answer = read_all(peer)
        GATE.set()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(made) <= protocol.MAX_PIPELINED + 1


def test_a_few_pipelined_requests_are_answered_in_order() -> None:
    """RFC 9112 section 9.3.2: a client that does not wait for answers gets all of them."""
    with running() as server, connect(server) as peer:
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4
            + b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        answers = read_all(peer)
    assert answers.count(b"HTTP/1.1 200 ") == 4
    assert answers.rindex(b"HTTP/1.1 404 ") > answers.rindex(b"HTTP/1.1 200 ")
