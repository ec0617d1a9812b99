"""Targets of the fuzzer in HTTP and in what arrives over it, the enrolment's both ends among them.

The surfaces run whole (edge, routes, use cases over a founded world): 500 means that an exception left the
place that should have judged the input.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import hashlib
import http.client
import io
import itertools
import json
import socket
from collections.abc import Callable
from typing import TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from starlette.applications import Starlette
from starlette.types import Message
from uvicorn import Config
from uvicorn.server import ServerState

from doorward.agent.client import CHAIN_TYPE, read_problem
from doorward.agent.credential import parse_credential, parse_root
from doorward.agent.link import Link, parse_link, render_link
from doorward.agent.transport import REQUEST_SECONDS, Response, _await_tunnel, _Deadline, _read
from doorward.audit.counting import EventLimiter, EventLimits, parse_limiter, source_key
from doorward.authority.inventory import list_authorities
from doorward.authority.status.crls import publish_crls
from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.web.app import build_enrolment_app, build_status_app
from doorward.web.ocsp import OcspSurface, decode_ocsp_path
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import UseCasePool
from doorward.web.protocol import GuardedProtocol
from tests.support.certificates.issuing import toy_ca
from tests.support.fuzzing.certificates import seal_der
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ocsp_listener import Wire
from tests.support.ports import NOON, PlainKeys
from tests.support.world import OPERATOR, World, found_world

T = TypeVar("T")
_RENEWAL = 500
"""Inputs after which the world is made again: it keeps the record of every refusal."""
_TOKEN = b"TOKEN"
_TOKEN_TEXT = "a" * 43
_LINK = Link(host="enroll.corp.example", port=8443, token=_TOKEN_TEXT, root_sha256="ab" * 32)


class _Inline(UseCasePool):
    """Runs use cases where they are called: the search sees which lines they reach."""

    async def run(self, call: Callable[[], T]) -> T:
        return call()


class _Surface:
    """An application over a world that is renewed now and then."""

    def __init__(self, build: Callable[[World], Starlette]) -> None:
        self._build = build
        self._count = itertools.count(1)
        self.renew()

    def renew(self) -> None:
        self.world = found_world()
        self.app = self._build(self.world)

    def step(self) -> None:
        if next(self._count) % _RENEWAL == 0:
            self.renew()

    def with_token(self, data: bytes) -> bytes:
        """Return the input with a token that is good once, where it stands for one."""
        if _TOKEN not in data:
            return data
        return data.replace(_TOKEN, invite(self.world.services, "alice", actor=OPERATOR).token.encode())


def _enrolment_surface() -> _Surface:
    pool = _Inline(workers=1)
    return _Surface(
        lambda world: build_enrolment_app(world.services, pool, origin="https://enroll.corp.example")
    )


def _ask(app: Starlette, data: bytes) -> int:
    """Give an application one request: a line of method and target, fields, an empty line, the body."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    fields = [line.partition(b":") for line in lines]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1"),
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in fields],
        "client": None,
        "server": ("enroll.corp.example", 443),
    }
    status = 0

    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()  # a client that stays until it has its answer
        return waiting.pop()

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    async def once() -> None:
        await app(scope, receive, send)

    _LOOP.run_until_complete(once())
    assert status != 500, "the surface could not answer"
    return status


_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)


def _request(target: str, body: bytes, **fields: str) -> bytes:
    lines = [target, *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _enrolment_request() -> Harness:
    surface = _enrolment_surface()

    def judge(data: bytes) -> object:
        surface.step()
        return _ask(surface.app, surface.with_token(data))

    csr = surface.world.csr()
    der = x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)
    post, bearer = "POST /v1/certificates", f"Bearer {_TOKEN.decode()}"
    seeds = (
        _request(
            post, csr, authorization=bearer, content_type="application/x-pem-file", accept="application/json"
        ),
        _request(
            post, der, authorization=bearer, content_type="application/pkcs10; a=b", x_forwarded_for="::1"
        ),
        _request(
            post,
            csr,
            authorization=f"Bearer {_TOKEN_TEXT}",
            content_type="application/pkcs10",
            content_length="9",
        ),
        _request("GET /static/style.css?a=b", b"", if_none_match='W/"abc"'),
        _request("HEAD /root.pem", b""),
    )
    return Harness(seeds=seeds, judge=judge)


def _status_request() -> Harness:
    surface = _Surface(lambda world: build_status_app(world.services, _Inline(workers=1)))
    publish_crls(surface.world.services)
    issuing = next(one for one in list_authorities(surface.world.services) if one.kind.value == "issuing")
    seeds = (
        _request(f"GET /crl/{issuing.id}.crl", b"", if_none_match='"abc", W/"def"'),
        _request(f"GET /ca/{issuing.id}.cer", b""),
        _request("GET /readyz", b""),
        _request("GET /jwks.json", b"", if_none_match="*"),
    )
    return Harness(seeds=seeds, judge=lambda data: _ask(surface.app, data))


def _ocsp_connection() -> Harness:
    """Octets of one connection to the status listener, in two reads: OCSP and other requests, pipelined too."""
    world, pool = found_world(), _Inline(workers=1)
    ocsp_surface = OcspSurface(world.services, pool)
    state = ServerState()
    config = Config(build_status_app(world.services, pool), log_config=None, lifespan="off")
    issuing = next(one for one in list_authorities(world.services) if one.kind.value == "issuing")
    asked = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(world.issue("alice").der),
        x509.load_der_x509_certificate(issuing.der),
        hashes.SHA256(),
    )
    request = asked.build().public_bytes(Encoding.DER)
    nonce = asked.add_extension(x509.OCSPNonce(b"n" * 32), critical=False).build().public_bytes(Encoding.DER)

    def make() -> GuardedProtocol:
        return OcspProtocol(ocsp_surface, config=config, server_state=state, app_state={})

    def judge(data: bytes) -> object:
        decode_ocsp_path(data.partition(b" ")[2].partition(b" ")[0])
        written = _LOOP.run_until_complete(_in_two_reads(make, state, data))
        assert b"HTTP/1.1 500" not in written, "the surface could not answer"
        return written[:12]

    path = "GET /ocsp/" + base64.b64encode(request).decode().replace("/", "%2F")
    get, post = (f"{first} HTTP/1.1\r\nHost: pki.corp.example" for first in (path, "POST /ocsp"))
    kind = "application/ocsp-request"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(nonce), nonce)
    plain = _request(post, request, content_type=kind, content_length=str(len(request)))
    seeds = (
        _request(get, b"", if_none_match='"abc", W/"def"') * 2,
        plain + _request("GET /healthz HTTP/1.1\r\nHost: pki.corp.example", b"") + plain,
        _request(post, chunked, content_type=f"{kind}; x", transfer_encoding="chunked"),
        _request(post, b"", content_type=kind, content_length="9", expect="100-continue", upgrade="h2c"),
    )
    return Harness(seeds=seeds, judge=judge)


async def _in_two_reads(make: Callable[[], GuardedProtocol], state: ServerState, data: bytes) -> bytes:
    """Give a new connection these octets in two reads; return what it wrote."""
    protocol, wire = make(), Wire()
    protocol.connection_made(wire)
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        if part and not wire.is_closing():
            protocol.data_received(part)
        for _ in range(6):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    for task in list(state.tasks):
        task.cancel()
    await asyncio.sleep(0)
    return bytes(wire.written)


def _http_connection() -> Harness:
    """Octets of one connection, in two reads, through the real parser to the real application."""
    surface = _enrolment_surface()
    state, config = ServerState(), Config(surface.app, log_config=None, lifespan="off")

    def judge(data: bytes) -> object:
        surface.step()
        written = _LOOP.run_until_complete(
            _in_two_reads(lambda: GuardedProtocol(config, state, {}), state, surface.with_token(data))
        )
        assert b"HTTP/1.1 500" not in written, "the surface could not answer"
        return written[:12]

    csr = surface.world.csr()
    head = "POST /v1/certificates HTTP/1.1\r\nHost: enroll.corp.example"
    bearer = f"Bearer {_TOKEN.decode()}"
    kind = "application/pkcs10"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(csr), csr)
    seeds = (
        _request("GET /join HTTP/1.1\r\nHost: enroll.corp.example", b"") * 2,
        _request(head, csr, authorization=bearer, content_type=kind, content_length=str(len(csr))),
        _request(head, chunked, authorization=bearer, content_type=kind, transfer_encoding="chunked"),
        _request(head, b"", content_length="9", expect="100-continue", upgrade="h2c", connection="upgrade"),
    )
    return Harness(seeds=seeds, judge=judge)


class _Socket:
    """A socket that has received what an input holds."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self._stream

    def recv(self, size: int) -> bytes:
        return self._stream.read(size)


def _server_answer() -> Harness:
    """What the agent makes of a server's answer; `fetch` turns the allowed exceptions into ours."""
    deadline = _Deadline(REQUEST_SECONDS)
    deadline.cancel()

    def judge(data: bytes) -> object:
        with http.client.HTTPResponse(cast(socket.socket, _Socket(data)), method="GET") as response:
            response.begin()
            answer = _read(response, _LINK, deadline)
        return answer.status, answer.media_type, type(read_problem(answer, _LINK)).__name__

    problem = json.dumps({"code": "invitation-invalid", "detail": "no\x1b[2J", "hint": "ask"}).encode()
    kind = "application/problem+json; charset=utf-8"
    head = "HTTP/1.1 403 Forbidden"
    seeds = (
        _request(head, problem, Content_Type=kind, Content_Length=str(len(problem))),
        _request(
            head,
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(problem), problem),
            Content_Type=kind,
            Transfer_Encoding="chunked",
        ),
        _request("HTTP/1.0 200 OK", b"abc", Content_Type=CHAIN_TYPE),
    )
    return Harness(seeds=seeds, judge=judge, allowed=(OSError, http.client.HTTPException, ValueError))


def _problem() -> Harness:
    def judge(data: bytes) -> object:
        answer = Response(status=403, media_type="application/problem+json", body=data)
        error = read_problem(answer, _LINK)
        assert error.detail.isprintable()
        assert error.hint.isprintable()
        return type(error).__name__, bool(error.hint)

    body = json.dumps({"code": "invitation-invalid", "detail": "no", "hint": "ask", "status": 403}).encode()
    return Harness(seeds=(body,), judge=judge)


def _tunnel() -> Harness:
    def judge(data: bytes) -> object:
        return _await_tunnel(cast(socket.socket, _Socket(data)))

    seed = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n"
    return Harness(seeds=(seed, seed.replace(b"200", b"407")), judge=judge, allowed=(OSError,))


def _credential() -> Harness:
    root = toy_ca()
    issuing = root.issuing()
    key = PlainKeys().generate(KeyKind.P256)
    leaf = issuing.leaf("alice", key=key)

    def judge(data: bytes) -> object:
        found = parse_credential(_armour(data), key, [root.certificate], NOON)
        return found.name, len(found.issuers)

    seeds = (leaf.der, issuing.der, issuing.leaf("bob", dns=("a.test",)).der)
    return Harness(seeds=tuple(b"".join((one, issuing.der)) for one in seeds), judge=judge)


def _armour(data: bytes) -> bytes:
    """Return DER values as PEM blocks, so that changes happen inside the base64."""
    parts, at = [], 0
    while at < len(data) and len(parts) < 6:
        size, begin = (data[at + 1] if at + 1 < len(data) else 0), at + 2
        if size & 0x80:
            count = size & 0x7F
            size, begin = int.from_bytes(data[begin : begin + count]), begin + count
        parts.append(data[at : begin + size])
        at = begin + size
    return b"".join(
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(one) + b"-----END CERTIFICATE-----\n"
        for one in parts
    )


def _sealed_credential() -> Harness:
    """A changed chain with a good signature of the authority."""
    root = toy_ca()
    leaf = root.leaf("alice")

    def judge(data: bytes) -> object:
        found = parse_credential(_armour(seal_der(data, root)), leaf.key, [root.certificate], NOON)
        return found.name

    return Harness(seeds=(leaf.certificate.tbs_certificate_bytes,), judge=judge)


def _credential_text() -> Harness:
    root = toy_ca()
    key = PlainKeys().generate(KeyKind.P256)
    leaf = root.leaf("alice", key=key)

    def judge(data: bytes) -> object:
        return parse_credential(data, key, [root.certificate], NOON).name

    return Harness(seeds=(leaf.pem, leaf.pem + root.pem), judge=judge)


def _root() -> Harness:
    """Also if the pin agrees: a link may come from anybody."""
    root = toy_ca()
    body = root.der

    def judge(data: bytes) -> object:
        pem = _armour(data)
        parse_root(pem, hashlib.sha256(data).hexdigest())
        return "pinned"

    return Harness(seeds=(body, root.leaf("alice").der), judge=judge)


def _link() -> Harness:
    def judge(data: bytes) -> object:
        found = parse_link(data.decode("utf-8", "replace"))
        assert parse_link(render_link(found)) == found
        return found.is_local

    hosts = ("enroll.corp.example", "[2001:db8::1]", "192.0.2.7", "bank.localhost")
    return Harness(
        seeds=tuple(
            f"https://{host}:8443/join#token={_TOKEN_TEXT}&sha256={'ab' * 32}".encode() for host in hosts
        ),
        judge=judge,
    )


def _source() -> Harness:
    def judge(data: bytes) -> object:
        return source_key(data.decode("latin-1")[:64]) == "unknown"

    return Harness(seeds=(b"192.0.2.7", b"2001:db8::1", b"fe80::1%eth0", b"::ffff:192.0.2.7"), judge=judge)


def _counts() -> Harness:
    limiter = EventLimiter(limits=EventLimits(per_key=1, max_keys=2))
    for number in range(5):
        limiter.admit("handshake:failed", f"192.0.2.{number % 3}", NOON, claimed="wiki")

    def judge(data: bytes) -> object:
        found = parse_limiter(data.decode("utf-8", "replace"))
        assert parse_limiter(found.render()) == found
        return bool(found.close())

    return Harness(seeds=(limiter.render().encode(), b""), judge=judge)


_CREDENTIAL = ("agent.credential.parse_credential",)

MESSAGE_TARGETS = (
    Target(
        name="enrolment-request",
        covers=(
            "web.enrolment.EnrolmentSurface",
            "web.token_exchange.read_request",
            "web.edge.read_body",
            "enrolment.invitation.redeem",
        ),
        shape=Shape.TEXT,
        prepare=_enrolment_request,
    ),
    Target(
        name="status-request",
        covers=("web.status.StatusSurface",),
        shape=Shape.TEXT,
        prepare=_status_request,
    ),
    Target(
        name="ocsp-connection",
        covers=(
            "web.ocsp_protocol.OcspProtocol",
            "web.ocsp.decode_ocsp_path",
            "authority.status.ocsp_answering.OcspAnswerer",
        ),
        shape=Shape.TEXT,
        prepare=_ocsp_connection,
    ),
    Target(
        name="http-connection",
        covers=("web.protocol.GuardedProtocol",),
        shape=Shape.TEXT,
        prepare=_http_connection,
    ),
    Target(
        name="server-answer",
        covers=("agent.transport._read", "agent.client.read_problem"),
        shape=Shape.TEXT,
        prepare=_server_answer,
    ),
    Target(name="problem", covers=("agent.client.read_problem",), shape=Shape.TEXT, prepare=_problem),
    Target(name="tunnel", covers=("agent.transport._await_tunnel",), shape=Shape.TEXT, prepare=_tunnel),
    Target(name="credential", covers=_CREDENTIAL, shape=Shape.DER, prepare=_credential),
    Target(name="sealed-credential", covers=_CREDENTIAL, shape=Shape.DER, prepare=_sealed_credential),
    Target(name="credential-text", covers=_CREDENTIAL, shape=Shape.TEXT, prepare=_credential_text),
    Target(name="root", covers=("agent.credential.parse_root",), shape=Shape.DER, prepare=_root),
    Target(name="link", covers=("agent.link.parse_link",), shape=Shape.TEXT, prepare=_link),
    Target(name="source", covers=("audit.counting.source_key",), shape=Shape.TEXT, prepare=_source),
    Target(name="counts", covers=("audit.counting.parse_limiter",), shape=Shape.TEXT, prepare=_counts),
)
