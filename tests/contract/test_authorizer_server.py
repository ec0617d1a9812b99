"""What Envoy is promised of the authorizer's server; grpcio's server keeps the same promises, and grpcio's client judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.authorizer.calls import Answerer, CheckResult
from doorward.gateway.authorizer.rendering import render_answer
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.runtime.world import SystemClock
from tests.support.authorizer_peers import (
    ADMITTED,
    FACTS,
    OK,
    PATIENCE_SECONDS,
    PERMISSION_DENIED,
    REFUSED,
    GrpcioServer,
    HoldingJudge,
    Judge,
    Server,
    ask,
    channel_to,
    message_of,
    method_of,
    request_of,
)
from tests.support.doorway import eventually, short_folder

Serve = Callable[[Answerer], tuple[Server, Path]]


@pytest.fixture(params=["grpcio", "ours"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Starts a server of each kind around an answerer."""
    with short_folder() as folder, ExitStack() as stack:
        path = folder / "run" / "authz.sock"

        def start(answerer: Answerer) -> tuple[Server, Path]:
            server: Server = (
                GrpcioServer(answerer, path)
                if request.param == "grpcio"
                else AuthorizerServer(answerer, path, clock=SystemClock())
            )
            server.start()
            stack.callback(server.stop)
            return server, path

        yield start


def test_an_admission_carries_every_fact(serve: Serve) -> None:
    """Certificate and metadata reach the judge as they were sent, and its facts reach Envoy as strings."""
    judge = Judge()
    _, path = serve(judge)
    response = ask(path, "a%20certificate", application="app_a", number="7")
    assert response.status.code == OK
    fields = response.dynamic_metadata.fields
    assert {name: fields[name].string_value for name in fields} == FACTS
    assert judge.asked[0].certificate == "a%20certificate"
    assert judge.asked[0].metadata["application"] == "app_a"
    assert judge.asked[0].metadata["number"] == "7"


def test_a_refusal_carries_nothing(serve: Serve) -> None:
    """A refusal is a code alone: neither reasons nor facts leave the gateway."""
    _, path = serve(Judge(REFUSED))
    response = ask(path)
    assert response.status.code == PERMISSION_DENIED
    assert response.status.message == ""
    assert len(response.dynamic_metadata.fields) == 0
    assert b"revoked" not in response.SerializeToString()


def test_a_lacking_fact_is_a_refusal(serve: Serve) -> None:
    """An answer that lacks a fact would reach an application as a dash: it is refused instead."""
    lacking = {k: v for k, v in FACTS.items() if k != ConnectionFact.PRINCIPAL.value}
    judge = Judge(CheckResult(facts=lacking, reasons=(), rendered=render_answer(lacking)))
    _, path = serve(judge)
    response = ask(path)
    assert response.status.code == PERMISSION_DENIED
    assert len(response.dynamic_metadata.fields) == 0


@pytest.mark.parametrize("size", [0, 1, 100, 16_000, 17_000, 70_000, 200_000])
def test_certificates_and_answers_of_every_size(serve: Serve, size: int) -> None:
    """Smaller and larger than a frame, than a window, and than what a judge takes."""
    judge = Judge(check=lambda text, _: CheckResult(facts={**FACTS, "grants": text or "x"}, reasons=()))
    _, path = serve(judge)
    text = "c" * size
    assert ask(path, text).dynamic_metadata.fields["grants"].string_value == text or not text
    assert judge.asked[0].certificate == text


def test_an_answer_to_a_peer_with_a_small_window(serve: Serve) -> None:
    """It arrives in parts, as the peer opens its window."""
    _, path = serve(Judge(CheckResult(facts={**FACTS, "grants": "g" * 200_000}, reasons=())))
    with channel_to(path, **{"grpc.http2.lookahead_bytes": 1, "grpc.http2.bdp_probe": 0}) as channel:
        response = method_of(channel)(request_of(""), timeout=PATIENCE_SECONDS)
    assert len(response.dynamic_metadata.fields["grants"].string_value) == 200_000


def test_many_calls_on_one_connection(serve: Serve) -> None:
    """Each gets its own answer, whatever the order."""
    judge = Judge(check=lambda text, _: CheckResult(facts={**FACTS, "grants": text}, reasons=()))
    _, path = serve(judge)
    with channel_to(path) as channel:
        method = method_of(channel)
        calls = [
            method.future(request_of(f"call-{number}"), timeout=PATIENCE_SECONDS) for number in range(500)
        ]
        answers = [one.result().dynamic_metadata.fields["grants"].string_value for one in calls]
    assert answers == [f"call-{number}" for number in range(500)]


def test_many_connections(serve: Serve) -> None:
    """Each of several threads of Envoy has a connection."""
    _, path = serve(Judge())
    with ThreadPoolExecutor(8) as pool:
        codes = [one.result().status.code for one in [pool.submit(ask, path) for _ in range(24)]]
    assert codes == [OK] * 24


def test_one_that_takes_long_does_not_hold_up_the_others(serve: Serve) -> None:
    """Answers come in the order in which they are made, not in that of the calls."""
    judge = HoldingJudge()
    _, path = serve(judge)
    with channel_to(path) as channel:
        method = method_of(channel)
        first = method.future(request_of("first"), timeout=PATIENCE_SECONDS)
        slow = judge.next()
        second = method.future(request_of("second"), timeout=PATIENCE_SECONDS)
        judge.next().reply(ADMITTED)
        assert second.result() == message_of(ADMITTED)
        assert not first.done()
        slow.reply(REFUSED)
        assert first.result() == message_of(REFUSED)


def test_a_caller_that_gives_up(serve: Serve) -> None:
    """Its deadline is obeyed, its answer is dropped, and the connection goes on."""
    judge = HoldingJudge()
    _, path = serve(judge)
    with channel_to(path) as channel:
        method = method_of(channel)
        with pytest.raises(grpc.RpcError) as caught:
            method(request_of("late"), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cancelled = method.future(request_of("cancelled"), timeout=PATIENCE_SECONDS)
        late, taken_back = judge.next(), judge.next()
        assert cancelled.cancel()
        last = method.future(request_of("last"), timeout=PATIENCE_SECONDS)
        for call in (late, taken_back, judge.next()):
            call.reply(ADMITTED)
        assert last.result() == message_of(ADMITTED)


@pytest.mark.parametrize("path", ["/envoy.service.auth.v3.Authorization/Other", "/other.Service/Check", "/x"])
def test_another_method_is_not_implemented(serve: Serve, path: str) -> None:
    """And the connection goes on."""
    judge = Judge()
    _, socket = serve(judge)
    with channel_to(socket) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            method_of(channel, path)(request_of(""), timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert not judge.asked
        assert method_of(channel)(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK


@pytest.mark.parametrize(
    "message", [b"\xff", b"\x0a\x05ab", b"\x0a\x04\x0a\x02\x2a\x01", b"\x0a\x05\x0a\x03\x2a\x01\xff"]
)
def test_what_is_no_question_is_an_error(serve: Serve, message: bytes) -> None:
    """Octets that are no CheckRequest reach no judge."""
    judge = Judge()
    _, path = serve(judge)
    with channel_to(path) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            method_of(channel)(message, timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert not judge.asked
        assert method_of(channel)(request_of(""), timeout=PATIENCE_SECONDS).status.code == OK


def test_the_stop_finishes_what_is_being_answered(serve: Serve) -> None:
    """A call that was begun gets its answer; a later one gets none."""
    judge = HoldingJudge()
    server, path = serve(judge)
    with ThreadPoolExecutor(1) as pool, channel_to(path) as channel:
        method = method_of(channel)
        begun = method.future(request_of(""), timeout=PATIENCE_SECONDS)
        call = judge.next()
        stopping = pool.submit(server.stop, PATIENCE_SECONDS)
        assert eventually(lambda: not path.exists() or stopping.done())
        call.reply(ADMITTED)
        assert begun.result() == message_of(ADMITTED)
        stopping.result()
        with pytest.raises(grpc.RpcError) as caught:
            method(request_of(""), timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_after_the_stop_no_call_is_answered(serve: Serve) -> None:
    """No socket is left."""
    server, path = serve(Judge())
    server.stop()
    assert not path.exists()
    with pytest.raises(grpc.RpcError):
        ask(path)
