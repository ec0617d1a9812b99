"""Upstreams of each kind behind a real door: kept connections that end, base paths, TLS, gRPC."""

from __future__ import annotations

import copy
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from doorward.demo.ports import free_port
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams
from doorward.gateway.publishing.upstream_files import UpstreamReader
from doorward.gateway.publishing.upstream_watch import WatchedUpstream, probe_upstream
from doorward.policy.model import AppPolicy, Document, HttpUpstream, Scheme, UpstreamTls
from tests.support.attacks import altered, changed, without
from tests.support.certificates.issuing import CertifiedKey
from tests.support.compiled_door import CompiledDoor, launched, open_door
from tests.support.door_site import IDS, DoorSite, allow, echo_upstream, id_of
from tests.support.doorway import eventually
from tests.support.envoy_process import ToyAuthorizer, facts_of
from tests.support.offering import Offering
from tests.support.resources import Resources
from tests.support.servers import accepting

APPS = {name: (allow("all", "tellers", "/a/**"), allow("root", "tellers", "/")) for name in IDS}
KEPT_PATIENCE_SECONDS = 45.0
"""Ten times as long as the door keeps an idle connection, and less than the minute that it kept it before."""

PATIENT = changed(
    *("clusters", IDS["pay"], "typed_extension_protocol_options"),
    *(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options",
        "idle_timeout",
    ),
    to="600s",
)
"""On a busy machine a test may take longer than the door keeps an idle connection, which `pay` is to close."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Fickle:
    """Answers the first request of each connection; what it does with the second is told by a test."""

    port: int = 0
    second: Callable[[socket.socket], None] = lambda peer: None
    heads: list[bytes] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Listen as long as the block runs."""
        with accepting(self._serve) as self.port:
            yield

    def _serve(self, peer: socket.socket) -> None:
        if self._head(peer):
            peer.sendall(OK)
        if self._head(peer):
            self.second(peer)

    def _head(self, peer: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = peer.recv(4096)
            if not piece:
                return b""
            data += piece
        self.heads.append(data)
        return data


@contextmanager
def tls_echo(folder: Path, ca: CertifiedKey, *names: str, kept: set[ssl.SSLSocket]) -> Iterator[int]:
    """Serve HTTPS that asks for a client certificate and answers with its subject: the port; `kept` has who got an answer."""
    now = datetime.now(UTC)
    dates = {"not_before": now.replace(year=now.year - 1), "not_after": now.replace(year=now.year + 1)}
    issued = ca.server(*names, **dates)
    (folder / "up.pem").write_bytes(issued.pem + ca.pem)
    (folder / "up.key").write_bytes(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "up.pem", folder / "up.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(folder / "root.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: ssl.SSLSocket) -> None:
        with peer, suppress(OSError):
            while b"\r\n\r\n" in peer.recv(65536):
                kept.add(peer)
                shown = str((peer.getpeercert() or {}).get("subject", "nobody")).encode()
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(shown), shown))
        kept.discard(peer)

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError):
                peer = context.wrap_socket(plain, server_side=True)
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


class _Greeter(grpc.GenericRpcHandler):
    """A real gRPC server: one unary method, one that streams, one that fails."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Find a method by its path."""
        name = details.method.rpartition("/")[2]
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request * 2),
            "Stream": grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request] * 3)),
            "Fail": grpc.unary_unary_rpc_method_handler(_fail),
        }.get(name)


def _fail(_request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
    return b""


@contextmanager
def grpc_server() -> Iterator[int]:
    """Serve gRPC in plain text, HTTP/2 with prior knowledge: the port."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Greeter()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait(60)


@dataclass
class Street:
    """The door and the applications behind it."""

    door: CompiledDoor
    fickle: Fickle
    watched: tuple[WatchedUpstream, ...]
    resources: Resources
    kept: set[ssl.SSLSocket]
    """Connections of the door to `tls` that are open after an answer."""

    def get(self, path: str = "/", *, app: str = "pay", **more: object) -> int:
        """Send one request on a connection of its own."""
        return self.door.site.ask("GET", path, host=f"{app}.test", **more).status  # type: ignore[arg-type]

    def keep_one(self, second: Callable[[socket.socket], None]) -> None:
        """Leave exactly one kept connection to `pay`, of which the next request gets `second`."""
        self.fickle.second = lambda peer: None
        assert self.get() == 200
        self.fickle.second = second

    def logged(self, application_id: str) -> dict[str, Any]:
        """Return the last line about an application; without a field if there is none yet."""
        lines = [line for line in self.door.site.log_lines() if line["application"] == application_id]
        return lines[-1] if lines else {}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """`pay` ends connections, `other` has a base path, `tls` speaks TLS, `new` too but is not who it says, `grpc`."""
    folder = tmp_path_factory.mktemp("door")
    with ExitStack() as stack:
        echo = stack.enter_context(echo_upstream())
        fickle = Fickle()
        stack.enter_context(fickle.serving())
        site = DoorSite(folder, echo)
        kept: set[ssl.SSLSocket] = set()
        port = stack.enter_context(tls_echo(folder, site.stranger, "*.internal.test", kept=kept))
        (folder / "ca.pem").write_bytes(site.stranger.pem)
        me = folder / "me"
        me.mkdir()
        (me / "chain.pem").write_bytes((folder / "p256.pem").read_bytes())
        (me / "key.pem").write_bytes((folder / "p256.key").read_bytes())
        tls = {"ca_file": str(folder / "ca.pem"), "client_certificate": str(me)}
        right, wrong = UpstreamTls(server_name="up.internal.test", **tls), UpstreamTls(**tls)
        site.upstreams = {
            "pay": HttpUpstream(host="127.0.0.1", port=fickle.port),
            "other": HttpUpstream(host="127.0.0.1", port=echo, base="/base/v1"),
            "tls": HttpUpstream(host="127.0.0.1", port=port, scheme=Scheme.HTTPS, tls=right),
            "new": HttpUpstream(host="localhost", port=port, scheme=Scheme.HTTPS, tls=wrong),
            "grpc": HttpUpstream(
                host="localhost", port=stack.enter_context(grpc_server()), scheme=Scheme.H2C
            ),
        }
        reader = UpstreamReader(folder / "kept", ForbiddenUpstreams(folder=folder / "data"))
        apps = tuple(
            AppPolicy(name=name, hosts=(f"{name}.test",), upstream=site.upstreams[name]) for name in APPS
        )
        grounds = reader.read(Document(trust_domain="corp.example", apps=apps), datetime.now(UTC))
        assert not grounds.objections
        authorizer = ToyAuthorizer()
        authorizer.answers = {IDS[name]: facts_of(id_of(name, rules[0])) for name, rules in APPS.items()}
        door = stack.enter_context(
            open_door(site, PATIENT, apps=APPS, authorizer=authorizer, upstream_files=grounds.files)
        )
        yield Street(door, fickle, reader.watched(), door.resources, kept)


@pytest.fixture(scope="module")
def careless(street: Street) -> Iterator[Street]:
    """The twin: the same applications behind a door without the fields that protect them."""
    site = copy.copy(street.door.site)
    folder = site.folder / "run"
    folder.mkdir()
    site.port = free_port()
    site.paths = replace(site.paths, discovery_socket=str(folder / "ads" / "s"))
    tls = ("clusters", IDS["new"], "transport_socket", "typed_config", "common_tls_context")
    host = ("routes", IDS["pay"], "virtual_hosts", 0)
    resources = altered(
        site.resources(APPS, upstream_files={one.name: one.files for one in street.watched if one.files}),
        PATIENT,
        without(*tls, "validation_context", "match_typed_subject_alt_names"),
        without(*host, "per_request_buffer_limit_bytes"),
        without(*host, "retry_policy", "retriable_request_headers"),
    )
    run = copy.copy(site)
    run.folder = folder
    with Offering(folder / "ads" / "s").serving(resources) as offering, launched(resources, run) as envoy:
        door = CompiledDoor(site, street.door.authorizer, envoy, resources, offering)
        yield Street(door, street.fickle, (), resources, street.kept)


class TestKeptConnections:
    """RFC 9112 section 9.3.1, RFC 9110 section 9.2.2: the application ends a kept connection as a request comes."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_a_safe_request_is_sent_once_more(self, street: Street, method: str) -> None:
        """It is answered, and the record says how often it was sent."""
        street.keep_one(lambda peer: None)
        assert street.door.site.ask(method, "/").status == 200
        assert eventually(
            lambda: (street.logged("app_pay")["method"], street.logged("app_pay")["attempts"]) == (method, 2)
        )

    @pytest.mark.parametrize(
        ("method", "body"), [("POST", b""), ("POST", b"x"), ("PUT", b"x"), ("DELETE", b""), ("GET", b"x")]
    )
    def test_no_other_is(self, street: Street, method: str, body: bytes) -> None:
        """A method that may change something, or a request with a body, is not sent a second time."""
        street.keep_one(lambda peer: None)
        before = len(street.fickle.heads)
        assert street.door.site.ask(method, "/", body=body).status == 503
        assert len(street.fickle.heads) == before + 1

    def test_an_idle_one_is_closed_by_the_door(self, street: Street) -> None:
        """The application never closes a connection, and sees the end of each one on which no further request comes."""
        assert street.get(app="tls") == 200
        assert eventually(lambda: not street.kept, KEPT_PATIENCE_SECONDS)

    def test_what_came_before_the_answer_counts_as_its_begin(self, street: Street) -> None:
        """RFC 9110 section 15.2: after an interim answer the request is not sent again."""
        street.keep_one(lambda peer: peer.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
        before = len(street.fickle.heads)
        assert street.get() == 103  # the client's library takes it for the answer
        assert eventually(
            lambda: (street.logged("app_pay")["status"], street.logged("app_pay")["attempts"]) == (503, 1)
        )
        assert len(street.fickle.heads) == before + 1

    def test_without_the_fields_a_post_is_sent_twice(self, careless: Street) -> None:
        """`retriable_request_headers`, `per_request_buffer_limit_bytes`: the twin repeats what may change something."""
        careless.keep_one(lambda peer: None)
        before = len(careless.fickle.heads)
        assert careless.door.site.ask("POST", "/", body=b"x").status == 200
        assert len(careless.fickle.heads) == before + 2

    def test_nothing_is_sent_again_once_an_answer_began(self, street: Street) -> None:
        """A connection that ends in the middle of an answer ends for the client too."""
        street.keep_one(lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"))
        before = len(street.fickle.heads)
        with pytest.raises(http.client.IncompleteRead):
            street.get()
        assert len(street.fickle.heads) == before + 1


class TestBasePaths:
    """RFC 3986 section 5.2.4: rules see the public path, the application gets the base in front of it."""

    def test_the_base_is_put_before_the_path(self, street: Street) -> None:
        """With its query, and for the root too."""
        ask = street.door.site.ask
        assert ask("GET", "/a/b?c=/d", host="other.test").seen["path"] == "/base/v1/a/b?c=/d"
        assert ask("GET", "/", host="other.test").seen["path"] == "/base/v1/"
        assert ask("GET", "/base/v1/a/b", host="other.test").status == 403

    def test_the_record_has_the_public_path(self, street: Street) -> None:
        """The record has the judged path, without the base and without the query."""
        assert street.get("/a/x?y", app="other") == 200
        assert eventually(lambda: street.logged("app_other").get("path") == "/a/x")

    @pytest.mark.parametrize(
        "path",
        [
            "/a/../../secret",
            "/a/%2e%2e/%2e%2e/secret",
            "/..",
            "/a/..%2f..%2fsecret",
            "/a/..;/..;/secret",
            "//a",
            "/a//../..",
        ],
    )
    def test_no_path_leaves_the_base(self, street: Street, path: str) -> None:
        """For every request path, the path that arrives is below the base."""
        answer = street.door.site.ask("GET", path, host="other.test")
        assert answer.status in {400, 403} or answer.seen["path"].startswith("/base/v1/")


class TestTls:
    """RFC 9525: the certificate is checked by authority and name, and the door shows one of a service."""

    def test_the_door_is_known_there(self, street: Street) -> None:
        """The application behind TLS sees the service's certificate; a wildcard names it."""
        answer = street.door.site.ask("GET", "/", host="tls.test")
        assert answer.status == 200
        assert "alice" in answer.body

    def test_another_name_is_refused(self, street: Street) -> None:
        """Authorities alone are not enough: the host's own name must be in the certificate."""
        assert street.get(app="new") == 503

    def test_without_the_name_it_is_served(self, careless: Street) -> None:
        """`match_typed_subject_alt_names`: the twin takes any certificate of these authorities."""
        assert careless.get(app="new") == 200

    def test_the_reason_is_told(self, street: Street) -> None:
        """The probe says which does not answer and why; the others answer."""
        told = {one.name: probe_upstream(one) for one in street.watched}
        assert told.pop("new").startswith("TLS: ")
        assert set(told.values()) == {""}


class TestGrpc:
    """HTTP/2 with prior knowledge (RFC 9113 section 3.3): a real gRPC client and server through the door."""

    @pytest.fixture
    def channel(self, street: Street) -> Iterator[grpc.Channel]:
        """A client with alice's certificate."""
        folder = street.door.site.folder
        credentials = grpc.ssl_channel_credentials(
            (folder / "root.pem").read_bytes(),
            (folder / "p256.key").read_bytes(),
            (folder / "p256.pem").read_bytes(),
        )
        options = [("grpc.ssl_target_name_override", "grpc.test"), ("grpc.default_authority", "grpc.test")]
        with grpc.secure_channel(f"127.0.0.1:{street.door.site.port}", credentials, options) as channel:
            yield channel

    def test_calls_pass(self, channel: grpc.Channel) -> None:
        """Unary and streamed answers, and the status that comes in the trailers."""
        assert channel.unary_unary("/a/Unary")(b"ab", timeout=20) == b"abab"
        assert list(channel.unary_stream("/a/Stream")(b"x", timeout=20)) == [b"x"] * 3
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/a/Fail")(b"", timeout=20)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "not today"

    def test_what_no_rule_allows_does_not(self, channel: grpc.Channel) -> None:
        """The refusal is one that gRPC understands."""
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/b/Unary")(b"", timeout=20)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_files_are_by_reference(street: Street) -> None:
    """Envoy gets paths of copies, which no other user can read."""
    for one in street.watched:
        if one.files is not None:
            for path in (one.files.ca, one.files.key):
                assert Path(path).stat().st_mode & 0o077 == 0
            assert isinstance(one.files, UpstreamFiles)
