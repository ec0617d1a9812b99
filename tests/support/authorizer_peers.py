"""Both ends of Envoy's question to the authorizer by grpcio, as the judge of our own server; and answers for both."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc

from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.gateway.authorizer.anonymous import is_whole
from doorward.gateway.authorizer.calls import Answerer, Call, CheckResult
from doorward.gateway.authorizer.loop import METHOD
from tests.support.ext_authz_pb2 import CheckRequest, CheckResponse

OK, PERMISSION_DENIED = 0, 7
PATIENCE_SECONDS = 60.0

FACTS: Mapping[str, str] = {
    **{fact.value: f"the {fact.value}" for fact in ConnectionFact},
    ConnectionFact.JUDGED.value: JUDGED,
}
ADMITTED = CheckResult(facts=FACTS, reasons=())
REFUSED = CheckResult(facts=None, reasons=("certificate-revoked",))


class Judge:
    """Answers each call as it is told, and notes the calls.

    Args:
        answer: to each call.
        check: what makes the answer of a certificate and metadata; in the place of `answer`.
    """

    def __init__(
        self,
        answer: CheckResult = ADMITTED,
        check: Callable[[str, Mapping[str, str]], CheckResult] | None = None,
    ) -> None:
        self.answer = answer
        self.asked: list[Call] = []
        self.turns: list[int] = []
        self._check = check or (lambda _certificate, _metadata: self.answer)

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Note and answer."""
        self.turns.append(len(calls))
        for call in calls:
            self.asked.append(call)
            call.reply(self._check(call.certificate, call.metadata))


class HoldingJudge:
    """Keeps each call until the test answers it."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Call] = queue.Queue()

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Keep them."""
        for call in calls:
            self.calls.put(call)

    def next(self) -> Call:
        """Wait for a call."""
        return self.calls.get(timeout=PATIENCE_SECONDS)


class Server(Protocol):
    """What both servers are."""

    def start(self) -> None: ...

    def stop(self, grace_seconds: float = 1.0) -> None: ...


class GrpcioServer:
    """grpcio's server, answering as ours does."""

    def __init__(self, answerer: Answerer, path: Path) -> None:
        self._answerer = answerer
        self._path = path
        self._server = grpc.server(ThreadPoolExecutor(16), options=(("grpc.so_reuseport", 0),))
        handler = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler(METHOD.split("/")[1], {"Check": handler})
        self._server.add_generic_rpc_handlers((service,))

    def start(self) -> None:
        """Listen."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._server.add_insecure_port(f"unix:{self._path}")
        self._server.start()

    def stop(self, grace_seconds: float = 1.0) -> None:
        """End."""
        self._server.stop(grace_seconds).wait()
        self._path.unlink(missing_ok=True)

    def _check(self, request: CheckRequest, context: grpc.ServicerContext) -> CheckResponse:
        answers: queue.Queue[CheckResult] = queue.Queue()
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        now = time.monotonic()
        self._answerer.answer_all(
            [Call(request.attributes.source.certificate, metadata, answers.put, received_at=now)]
        )
        return message_of(answers.get(timeout=PATIENCE_SECONDS))


def message_of(result: CheckResult) -> CheckResponse:
    """A result as protobuf's library renders it."""
    response = CheckResponse()
    if result.facts is None or not is_whole(result.facts):
        response.status.code = PERMISSION_DENIED
        return response
    response.status.code = OK
    for name, value in result.facts.items():
        response.dynamic_metadata.fields[name].string_value = value
    return response


def request_of(certificate: str) -> bytes:
    """Envoy's question with a certificate."""
    request = CheckRequest()
    request.attributes.source.certificate = certificate
    return request.SerializeToString()


@contextmanager
def channel_to(path: Path, **options: Any) -> Iterator[grpc.Channel]:
    """A connection of its own."""
    settings = [("grpc.use_local_subchannel_pool", 1), *options.items()]
    with grpc.insecure_channel(f"unix:{path}", options=settings) as channel:
        yield channel


def method_of(channel: grpc.Channel, path: str = METHOD) -> grpc.UnaryUnaryMultiCallable:
    """The method as a function of bytes to a response."""
    return channel.unary_unary(path, response_deserializer=CheckResponse.FromString)


def ask(path: Path, certificate: str = "", **metadata: str) -> CheckResponse:
    """The answer that Envoy would get."""
    with channel_to(path) as channel:
        return method_of(channel)(
            request_of(certificate), metadata=tuple(metadata.items()), timeout=PATIENCE_SECONDS
        )


def our_pid(pid: int) -> bool:
    """Whether it is the process of the test."""
    return pid == os.getpid()
