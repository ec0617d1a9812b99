"""What one peer of the authorizer may cost and hold, and that the server outlives every failure of its own."""

from __future__ import annotations

import errno
import os
import socket as sockets
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hpack import Encoder
from structlog.testing import capture_logs

from doorward.gateway.authorizer.calls import Answerer, Call, CheckResult
from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PREFACE,
    ErrorCode,
    FrameType,
    Setting,
    render_frame,
    render_settings,
)
from doorward.gateway.authorizer.loop import CALL_SECONDS, METHOD, PENDING, AuthorizerLoop
from doorward.gateway.authorizer.peer import STALLED_SECONDS
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.gateway.authorizer.unary import render_body
from tests.support.authorizer_peers import ADMITTED, FACTS, PATIENCE_SECONDS, HoldingJudge, Judge, request_of
from tests.support.doorway import eventually, short_folder
from tests.support.http2_client import Frame, reset, split, window_update
from tests.support.ports import FakeClock

LARGEST_WINDOW = (1 << 31) - 1
FIELDS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", METHOD),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


class RawPeer:
    """A connection of frames."""

    def __init__(self, path: Path) -> None:
        self.socket = sockets.socket(sockets.AF_UNIX)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(str(path))
        self._encoder = Encoder()
        self._rest = b""
        self.frames: list[Frame] = []

    def begin(self) -> RawPeer:
        """Send preface and settings, with windows that hold everything."""
        self._encoder.header_table_size = 0
        self.socket.sendall(
            PREFACE
            + render_settings({Setting.INITIAL_WINDOW_SIZE: LARGEST_WINDOW})
            + window_update(0, LARGEST_WINDOW - 65_535)
            + render_frame(FrameType.SETTINGS, ACK, 0)
        )
        return self

    def call(self, stream: int, *fields: tuple[str, str]) -> bytes:
        """A call."""
        block = self._encoder.encode((*FIELDS, *fields))
        return render_frame(FrameType.HEADERS, END_HEADERS, stream, block) + render_frame(
            FrameType.DATA, END_STREAM, stream, render_body(request_of(""))
        )

    def read(self) -> bool:
        """Read what comes; False at the end."""
        try:
            part = self.socket.recv(1 << 20)
        except ConnectionResetError:  # the server closed before it had read all
            part = b""
        octets = self._rest + part
        end = 0
        while len(octets) - end >= 9 and len(octets) >= (
            stop := end + 9 + int.from_bytes(octets[end : end + 3])
        ):
            end = stop
        self.frames += split(octets[:end])
        self._rest = octets[end:]
        return bool(part)

    def status(self, stream: int) -> str:
        """Read until a stream ends; return the status of gRPC."""
        while True:
            for one in self.frames:
                if (one.kind, one.stream) == (FrameType.HEADERS, stream) and one.flags & END_STREAM:
                    return one.payload.partition(b"grpc-status")[2][1:].decode()
            assert self.read()

    def until_the_end(self) -> list[Frame]:
        """Read all."""
        while self.read():
            pass
        return self.frames


@pytest.fixture
def path() -> Iterator[Path]:
    """The path of the socket."""
    with short_folder() as folder:
        yield folder / "run" / "authz.sock"


@contextmanager
def serving(answerer: Answerer, path: Path, clock: FakeClock | None = None) -> Iterator[None]:
    """A server that runs; its clock stands still."""
    server = AuthorizerServer(answerer, path, clock=clock or FakeClock())
    server.start()
    try:
        yield
    finally:
        server.stop(0)


@contextmanager
def peers(path: Path, number: int = 1) -> Iterator[list[RawPeer]]:
    """Connections that have begun."""
    with ExitStack() as stack:
        made = [RawPeer(path).begin() for _ in range(number)]
        for one in made:
            stack.callback(one.socket.close)
        yield made


def test_a_peer_that_does_not_read(path: Path) -> None:
    """No more is read from it; after a while it is closed. Another peer is served meanwhile."""
    clock = FakeClock()
    large = CheckResult(facts={**FACTS, "grants": "g" * 15_000}, reasons=())
    with serving(Judge(large), path, clock), peers(path, 2) as (silent, other):
        silent.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            _call_without_end(silent)
        other.socket.sendall(other.call(1))
        assert other.status(1) == "0"
        clock.turn(seconds=STALLED_SECONDS)
        assert eventually(lambda: _is_closed(silent))
        other.socket.sendall(other.call(3))
        assert other.status(3) == "0"


def _call_without_end(peer: RawPeer) -> None:
    for stream in range(1, 1 << 20, 2):
        peer.socket.sendall(peer.call(stream))


def _is_closed(peer: RawPeer) -> bool:
    peer.socket.settimeout(0)
    try:
        peer.socket.send(b"\0")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_calls_that_are_not_answered_are_limited(path: Path) -> None:
    """A further one is refused at once, also if the peer took the others back; each result makes room for one."""
    judge = HoldingJudge()
    with serving(judge, path), peers(path, PENDING // limits.STREAMS + 1) as made:
        sent = 0
        while sent < PENDING:
            peer, stream = made[sent % len(made)], 2 * (sent // len(made)) + 1
            peer.socket.sendall(peer.call(stream))
            sent += 1
        held = [judge.next() for _ in range(PENDING)]
        made[0].socket.sendall(reset(1) + made[0].call(5001))
        assert made[0].status(5001) == "8"
        held[0].reply(ADMITTED)
        held[0].reply(ADMITTED)
        made[0].socket.sendall(made[0].call(5003) + made[0].call(5005))
        assert made[0].status(5005) == "8"
        judge.next().reply(ADMITTED)
        assert made[0].status(5003) == "0"


@pytest.mark.parametrize("octets", [b"", PREFACE[:10], PREFACE + render_settings({})[:-1]])
def test_one_that_does_not_begin_is_closed(path: Path, octets: bytes) -> None:
    """After its time, with GOAWAY."""
    clock = FakeClock()
    with serving(Judge(), path, clock):
        peer = RawPeer(path)
        peer.socket.sendall(octets)
        assert peer.read()
        clock.turn(seconds=limits.BEGIN_SECONDS)
        assert peer.until_the_end()[-1].code is ErrorCode.PROTOCOL_ERROR
        peer.socket.close()


@pytest.mark.parametrize(("timeout", "seconds"), [((), CALL_SECONDS), ((("grpc-timeout", "3S"),), 3)])
def test_a_call_that_is_never_answered(path: Path, timeout: Any, seconds: float) -> None:
    """It ends when its caller said, or after ten seconds; a late result is dropped."""
    clock, judge = FakeClock(), HoldingJudge()
    with serving(judge, path, clock), peers(path) as (peer,):
        peer.socket.sendall(peer.call(1, *timeout))
        held = judge.next()
        assert held.expires_at == seconds
        clock.turn(seconds=seconds - 0.5)
        peer.socket.sendall(peer.call(3))
        judge.next().reply(ADMITTED)
        assert peer.status(3) == "0"
        clock.turn(seconds=0.5)
        assert peer.status(1) == "4"
        held.reply(ADMITTED)
        peer.socket.sendall(peer.call(5))
        judge.next().reply(ADMITTED)
        assert peer.status(5) == "0"
    assert [one.stream for one in peer.frames if one.kind == FrameType.DATA] == [3, 5]


def test_a_malformed_call_ends_alone(path: Path) -> None:
    """The other calls of the same read are answered."""
    with serving(Judge(), path), peers(path) as (peer,):
        peer.socket.sendall(peer.call(1) + peer.call(3, ("Bad", "name")) + peer.call(5))
        assert (peer.status(1), peer.status(5)) == ("0", "0")
        ends = [one for one in peer.frames if one.kind == FrameType.RST_STREAM]
        assert [(one.stream, one.code) for one in ends] == [(3, ErrorCode.PROTOCOL_ERROR)]


def test_calls_that_were_taken_back_are_not_judged(path: Path) -> None:
    """If they were taken back before they were read; a flood of them ends the connection."""
    judge = Judge()
    with serving(judge, path), peers(path, 2) as (peer, other):
        for first in range(1, 40_000, 200):
            flood = b"".join(peer.call(stream) + reset(stream) for stream in range(first, first + 200, 2))
            try:
                peer.socket.sendall(flood)
            except OSError:
                break
        assert peer.until_the_end()[-1].code is ErrorCode.ENHANCE_YOUR_CALM
        other.socket.sendall(other.call(1))
        assert other.status(1) == "0"
    assert len(judge.asked) < 1000


class _FailingOnce(FakeClock):
    """A clock that fails once, when it is told."""

    fails = False

    def monotonic(self) -> float:
        if self.fails:
            self.fails = False
            raise RuntimeError("the clock fails")
        return super().monotonic()


def test_the_loop_outlives_its_own_failure(path: Path) -> None:
    """Whatever is raised in a turn, the next turn is made."""
    clock = _FailingOnce()
    with capture_logs() as logs, serving(Judge(), path, clock), peers(path) as (peer,):
        peer.socket.sendall(peer.call(1))
        assert peer.status(1) == "0"
        clock.fails = True
        peer.socket.sendall(peer.call(3))
        assert peer.status(3) == "0"
    assert [one["event"] for one in logs] == ["the authorizer's loop failed"]


class _Scarce:
    """A listening socket that cannot accept at first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        self._socket = sockets.socket(sockets.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._socket.settimeout(0)
        self.tries = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> Any:
        self.tries += 1
        if self.tries == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._socket.accept()

    def close(self) -> None:
        self._socket.close()


def test_descriptors_that_are_missing_for_a_while(path: Path) -> None:
    """The loop tries again after a pause, and does not spin meanwhile."""
    clock, listener = FakeClock(), _Scarce(path)
    loop = AuthorizerLoop(listener, Judge(), clock=clock, admits=lambda _: 1, closed=lambda: None)  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run)
    with capture_logs() as logs:
        thread.start()
        with peers(path) as (peer,):
            assert eventually(lambda: listener.tries == 1)
            threading.Event().wait(0.3)
            assert listener.tries == 1
            clock.turn(seconds=1)
            peer.socket.sendall(peer.call(1))
            assert peer.status(1) == "0"
        loop.stop(0)
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert [one["error"] for one in logs] == [os.strerror(errno.EMFILE)]


class _Slow(Judge):
    """Answers nothing until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def answer_all(self, calls: Sequence[Call]) -> None:
        self.entered.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        super().answer_all(calls)


def test_calls_that_wait_are_answered_together(path: Path) -> None:
    """What arrives while the answerer works is one turn, from all connections."""
    judge = _Slow()
    with serving(judge, path), peers(path, 2) as (peer, other):
        peer.socket.sendall(peer.call(1))
        assert judge.entered.wait(PATIENCE_SECONDS)
        for one in (peer, other):
            one.socket.sendall(b"".join(one.call(stream) for stream in range(3, 103, 2)))
        judge.go_on.set()
        assert {one.status(stream) for one in (peer, other) for stream in range(3, 103, 2)} == {"0"}
    assert judge.turns == [1, 100]


def test_an_answerer_that_is_slow_starves_no_reading(path: Path) -> None:
    """Between two turns everything is read: a call and its end are seen together."""
    judge = _Slow()
    with serving(judge, path), peers(path) as (peer,):
        peer.socket.sendall(peer.call(1))
        assert judge.entered.wait(PATIENCE_SECONDS)
        peer.socket.sendall(b"".join(peer.call(stream) for stream in range(3, 99, 2)))
        peer.socket.sendall(b"".join(reset(stream) for stream in range(3, 97, 2)))
        judge.go_on.set()
        assert peer.status(97) == "0"
    assert len(judge.asked) == 2
