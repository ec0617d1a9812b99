"""The authorizer's socket: access to it, the content of an answer, and what is left when it ends."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.ext_authz_pb2 import CheckRequest, CheckResponse
from doorward.gateway.authorizer.server import OK, PERMISSION_DENIED, SERVICE, AuthorizerServer
from tests.support.doorway import short_folder

FACTS = {**{fact.value: f"the {fact.value}" for fact in ConnectionFact}, ConnectionFact.JUDGED.value: JUDGED}


class Judge:
    """Answers as it is told, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer = CheckResult(facts=FACTS, reasons=())
        self.before: Callable[[], object] = lambda: None

    def check(self, certificate: str, metadata: Mapping[str, str]) -> CheckResult:
        """Note and answer."""
        self.asked.append((certificate, dict(metadata)))
        self.before()
        return self.answer


@pytest.fixture
def socket() -> Iterator[Path]:
    """The path of the socket."""
    with short_folder() as folder:
        yield folder / "authz.sock"


def ask(socket: Path, certificate: str = "", **metadata: str) -> CheckResponse:
    """The answer that Envoy would get."""
    request = CheckRequest()
    request.attributes.source.certificate = certificate
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        return call(request, metadata=tuple(metadata.items()), timeout=10)


def serving(judge: Judge, socket: Path) -> AuthorizerServer:
    """A server that was started."""
    server = AuthorizerServer(judge, socket)  # type: ignore[arg-type]
    server.start()
    return server


def test_an_admission_carries_every_fact(socket: Path) -> None:
    """Certificate and metadata reach the judge as they were sent, and its facts reach Envoy as strings."""
    judge = Judge()
    server = serving(judge, socket)
    response = ask(socket, "a%20certificate", application="app_a")
    server.stop()
    assert response.status.code == OK
    fields = response.dynamic_metadata.fields
    assert {name: fields[name].string_value for name in fields} == FACTS
    certificate, metadata = judge.asked[0]
    assert certificate == "a%20certificate"
    assert metadata["application"] == "app_a"


def test_a_refusal_carries_nothing(socket: Path) -> None:
    """A refusal is a code alone: neither reasons nor facts leave the gateway."""
    judge = Judge()
    judge.answer = CheckResult(facts=None, reasons=("certificate-revoked",))
    server = serving(judge, socket)
    response = ask(socket)
    server.stop()
    assert response.status.code == PERMISSION_DENIED
    assert response.status.message == ""
    assert len(response.dynamic_metadata.fields) == 0
    assert b"revoked" not in response.SerializeToString()


def test_a_lacking_fact_is_a_refusal(socket: Path) -> None:
    """An answer that lacks a fact would reach an application as a dash: it is refused instead."""
    judge = Judge()
    judge.answer = CheckResult(
        facts={k: v for k, v in FACTS.items() if k != ConnectionFact.PRINCIPAL.value}, reasons=()
    )
    server = serving(judge, socket)
    response = ask(socket)
    server.stop()
    assert response.status.code == PERMISSION_DENIED
    assert len(response.dynamic_metadata.fields) == 0


def test_a_judge_that_fails_admits_no_connection(socket: Path) -> None:
    """An exception is an error to Envoy, which fails closed, and says nothing of the inside."""
    judge = Judge()
    judge.before = lambda: 1 / 0
    server = serving(judge, socket)
    with pytest.raises(grpc.RpcError) as caught:
        ask(socket)
    server.stop()
    assert caught.value.code() is grpc.StatusCode.UNKNOWN  # type: ignore[attr-defined]


def test_only_our_own_user_may_ask(socket: Path) -> None:
    """The socket is closed to others, and one that an earlier run left is replaced."""
    socket.write_text("left")
    server = serving(Judge(), socket)
    assert stat.S_ISSOCK(socket.stat().st_mode)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    server.stop()
    assert not socket.exists()


def test_many_are_answered_at_once(socket: Path) -> None:
    """One judgement that takes long does not hold up the others."""
    judge, gate = Judge(), threading.Barrier(4, timeout=10)
    judge.before = gate.wait
    server = serving(judge, socket)
    with ThreadPoolExecutor(4) as pool:
        codes = [one.result(60).status.code for one in [pool.submit(ask, socket) for _ in range(4)]]
    server.stop()
    assert codes == [OK] * 4


def test_a_place_that_cannot_be_a_socket(socket: Path) -> None:
    """If the socket cannot be made, the error has a hint."""
    with pytest.raises(Unavailable) as caught:
        serving(Judge(), socket.parent / "missing" / "authz.sock")
    assert caught.value.code == "authorizer-socket"
    assert caught.value.hint


def test_after_the_end_no_call_is_answered(socket: Path) -> None:
    """A call after the end is refused by gRPC itself."""
    serving(Judge(), socket).stop()
    with pytest.raises(grpc.RpcError):
        ask(socket)
