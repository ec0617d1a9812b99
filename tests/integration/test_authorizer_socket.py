"""The authorizer's socket: who may connect, what one bad connection does to others, and what is left at the end."""

from __future__ import annotations

import hashlib
import os
import socket as sockets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from doorward.core.errors import Unavailable
from doorward.gateway.authorizer.calls import Answerer, Call, CheckResult
from doorward.gateway.authorizer.loop import CONNECTIONS, METHOD
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.runtime.world import SystemClock
from tests.support.authorizer_peers import (
    ADMITTED,
    FACTS,
    OK,
    PATIENCE_SECONDS,
    PERMISSION_DENIED,
    HoldingJudge,
    Judge,
    ask,
    channel_to,
    message_of,
    method_of,
    request_of,
)
from tests.support.doorway import eventually, short_folder


@pytest.fixture
def path() -> Iterator[Path]:
    """The path of the socket."""
    with short_folder() as folder:
        yield folder / "run" / "authz.sock"


@contextmanager
def serving(answerer: Answerer, path: Path, **options: Any) -> Iterator[AuthorizerServer]:
    """A server that runs."""
    server = AuthorizerServer(answerer, path, clock=SystemClock(), **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connected(path: Path) -> Iterator[sockets.socket]:
    """A connection of octets."""
    with sockets.socket(sockets.AF_UNIX) as peer:
        peer.settimeout(PATIENCE_SECONDS)
        peer.connect(str(path))
        yield peer


def until_the_end(peer: sockets.socket) -> bytes:
    """Everything that the server sends before it closes."""
    heard = b""
    with suppress(ConnectionResetError):  # it closed before it had read all
        while part := peer.recv(1 << 16):
            heard += part
    return heard


class TestSocket:
    """The file."""

    def test_it_is_closed_to_other_users(self, path: Path) -> None:
        """Mode 0600 in a folder of mode 0700."""
        with serving(Judge(), path):
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not path.exists()

    def test_one_that_an_earlier_run_left_is_replaced(self, path: Path) -> None:
        """No process listens at it."""
        path.parent.mkdir(mode=0o700)
        with sockets.socket(sockets.AF_UNIX) as left:
            left.bind(str(path))
        with serving(Judge(), path):
            assert ask(path).status.code == OK

    def test_one_that_is_in_use_is_left(self, path: Path) -> None:
        """Two gateways must not answer in turn."""
        with serving(Judge(), path), pytest.raises(Unavailable) as caught:
            AuthorizerServer(Judge(), path, clock=SystemClock()).start()
        assert caught.value.code == "authorizer-socket"

    @pytest.mark.parametrize("place", ["missing/folder", "file"])
    def test_a_place_that_cannot_be_a_socket(self, path: Path, place: str) -> None:
        """The error has a hint."""
        path.parent.mkdir(mode=0o700)
        (path.parent / "file").write_text("kept")
        with (
            pytest.raises(Unavailable) as caught,
            serving(Judge(), path.parent / place / "s" if "/" in place else path.parent / place),
        ):
            pass
        assert caught.value.code == "authorizer-socket"
        assert caught.value.hint

    def test_a_server_that_was_never_started(self, path: Path) -> None:
        """Its stop does nothing."""
        AuthorizerServer(Judge(), path, clock=SystemClock()).stop()


class TestPeers:
    """Who may ask."""

    def test_a_process_that_is_not_our_envoy(self, path: Path) -> None:
        """It reads nothing, is asked nothing, and is told of."""
        judge = Judge()
        with capture_logs() as logs, serving(judge, path, admit=lambda _pid: False) as server:
            assert server.trouble() == ""
            with connected(path) as peer:
                assert until_the_end(peer) == b""
            assert f"process {os.getpid()}" in server.trouble()
        assert [one["event"] for one in logs] == ["authorizer-connection-refused"]

    def test_our_envoy(self, path: Path) -> None:
        """It is known by its process id."""
        with serving(Judge(), path, admit=lambda pid: pid == os.getpid()) as server:
            assert ask(path).status.code == OK
            assert server.trouble() == ""

    def test_too_many_connections(self, path: Path) -> None:
        """A further one is closed; once one has ended, the next is served."""
        with serving(Judge(), path):
            peers = [sockets.socket(sockets.AF_UNIX) for _ in range(CONNECTIONS + 1)]
            for one in peers:
                one.settimeout(PATIENCE_SECONDS)
                one.connect(str(path))
            assert all(one.recv(9) for one in peers[:-1])
            assert peers[-1].recv(1) == b""
            for one in peers:
                one.close()
            assert eventually(lambda: _is_served(path))  # the server reads each end in a turn of its own


def _is_served(path: Path) -> bool:
    try:
        return bool(ask(path).status.code == OK)
    except grpc.RpcError:
        return False


class TestFailures:
    """One failure concerns one call, or one connection."""

    @pytest.mark.parametrize(
        "octets",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 40,
            hashlib.shake_256(b"noise").digest(4096),
        ],
    )
    def test_a_peer_that_speaks_something_else(self, path: Path, octets: bytes) -> None:
        """Its connection ends with GOAWAY; that of another peer goes on."""
        with serving(Judge(), path), channel_to(path) as channel:
            method = method_of(channel)
            assert method(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK
            with connected(path) as peer:
                peer.sendall(octets)
                assert until_the_end(peer)[-17:][3] == 7
            assert method(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK

    def test_an_answerer_that_fails(self, path: Path) -> None:
        """Its calls get an error, which tells nothing of the inside; the next call is answered."""

        class Failing(Judge):
            def answer_all(self, calls: Sequence[Call]) -> None:
                if not self.asked:
                    self.asked += calls
                    raise RuntimeError("the inside")
                super().answer_all(calls)

        with capture_logs() as logs, serving(Failing(), path), channel_to(path) as channel:
            method = method_of(channel)
            with pytest.raises(grpc.RpcError) as caught:
                method(request_of(""), timeout=PATIENCE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "inside" not in str(caught.value)
            assert method(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK
        assert [one["log_level"] for one in logs] == ["error"]

    def test_a_fact_that_is_no_text(self, path: Path) -> None:
        """It is a refusal."""
        spoilt = CheckResult(facts={**FACTS, "principal": "\ud800"}, reasons=())
        with serving(Judge(spoilt), path):
            assert ask(path).status.code == PERMISSION_DENIED

    def test_a_second_reply_is_ignored(self, path: Path) -> None:
        """Also if it comes while the first one waits to be sent."""
        judge = HoldingJudge()
        with serving(judge, path), channel_to(path) as channel:
            call = method_of(channel).future(request_of(""), timeout=PATIENCE_SECONDS)
            held = judge.next()
            held.reply(ADMITTED)
            held.reply(CheckResult(facts=None, reasons=()))
            assert call.result() == message_of(ADMITTED)

    def test_a_call_that_is_never_answered(self, path: Path) -> None:
        """It ends at the time that its caller named."""
        judge = HoldingJudge()
        with serving(judge, path), channel_to(path) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                method_of(channel)(request_of(""), timeout=0.3)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            held = judge.next()
            assert held.expires_at - held.received_at < 1
            held.reply(ADMITTED)

    def test_replies_from_many_threads(self, path: Path) -> None:
        """None is lost: the loop is woken for each."""
        judge = HoldingJudge()
        with serving(judge, path), channel_to(path) as channel:
            method = method_of(channel)
            for _ in range(20):
                calls = [method.future(request_of(""), timeout=PATIENCE_SECONDS) for _ in range(8)]
                threads = [
                    threading.Thread(target=judge.next().reply, args=(ADMITTED,)) for _ in range(len(calls))
                ]
                for one in threads:
                    one.start()
                assert [one.result().status.code for one in calls] == [OK] * 8
                for one in threads:
                    one.join()


def test_an_idle_server_does_not_run(path: Path) -> None:
    """Its thread waits for ever while nothing is unfinished."""
    with serving(Judge(), path), channel_to(path) as channel:
        assert method_of(channel)(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK
        thread = next(one for one in threading.enumerate() if one.name == "authorizer")
        assert thread.native_id is not None
        schedule = Path(f"/proc/self/task/{thread.native_id}/status")

        def switches() -> str:
            return next(
                line
                for line in schedule.read_text().splitlines()
                if line.startswith("voluntary_ctxt_switches")
            )

        def is_idle() -> bool:
            before = switches()
            threading.Event().wait(1.2)
            return switches() == before

        assert eventually(is_idle)


def test_the_stop_does_not_wait_for_ever(path: Path) -> None:
    """A call that is not answered within the grace ends with the connection."""
    judge = HoldingJudge()
    server = AuthorizerServer(judge, path, clock=SystemClock())
    server.start()
    with channel_to(path) as channel:
        call = method_of(channel, METHOD).future(request_of(""), timeout=PATIENCE_SECONDS)
        held = judge.next()
        server.stop(0.1)
        with pytest.raises(grpc.RpcError):
            call.result()
        held.reply(ADMITTED)
