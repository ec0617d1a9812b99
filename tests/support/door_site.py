"""A small site behind a compiled door: authorities, certificates, an upstream that echoes, a client.

Everything is real (TLS, Envoy, HTTP) except the authorizer, which says what a test tells it.
"""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from doorward.core.ports import KeyKind
from doorward.demo.ports import free_port
from doorward.enforcement.envoy.names import ENROL_CHAIN, EST_CHAIN
from doorward.enforcement.open_routes import EST_ROUTES
from doorward.enforcement.plan import (
    GatewayLimits,
    GatewayPaths,
    GatewayPlan,
    OpenDoor,
    OpenRoute,
    PortalDoor,
    ReplyPages,
    ServerCertificate,
    SessionPlan,
    SocketAddress,
    build_plan,
)
from doorward.enforcement.trust import DoorTrust
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.grants import grant_id
from doorward.policy.model import (
    AppPolicy,
    Document,
    Effect,
    HttpUpstream,
    OnRefusal,
    Residual,
    Rule,
    Upstream,
)
from doorward.policy.paths import PathPattern
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.table import select
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.log_lines import joined
from tests.support.resources import Resources, build_resources
from tests.support.servers import serving

_PATIENT_SECONDS = 30.0

TENANT = "ten_default"
IDS = {"pay": "app_pay", "other": "app_other", "new": "app_new", "tls": "app_tls", "grpc": "app_grpc"}
HOSTS = (*(f"{name}.test" for name in IDS), "enroll.test", "est.test", "portal.test")


def allow(
    name: str,
    group: str,
    *paths: str,
    methods: Sequence[str] | None = None,
    require: Sequence[Requirement] = (),
) -> Rule:
    """An allow rule for a group."""
    rule = _rule(name, Effect.ALLOW, group, paths, methods)
    return replace(rule, residual=replace(rule.residual, requirements=frozenset(require)))


def deny(name: str, group: str, *paths: str, methods: Sequence[str] | None = None) -> Rule:
    """A deny rule for a group."""
    return _rule(name, Effect.DENY, group, paths, methods)


def _rule(name: str, effect: Effect, group: str, paths: Sequence[str], methods: Sequence[str] | None) -> Rule:
    residual = Residual(
        methods=frozenset(methods) if methods is not None else None,
        paths=tuple(PathPattern(one) for one in paths or ("/**",)),
    )
    return Rule(name=name, effect=effect, selector=select({"groups": frozenset({group})}), residual=residual)


def id_of(app: str, rule: Rule) -> str:
    """The id of a rule's selector in an application of the site."""
    return grant_id(TENANT, IDS[app], rule.effect, rule.selector)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `seen` is the request as the echoing upstream saw it, or empty."""

    status: int
    headers: Mapping[str, str]
    body: str
    seen: Mapping[str, Any] = field(default_factory=dict)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Echo/1"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        if self.headers.get("upgrade") and self.path != "/accounts/login-first":
            self._switch()
            return
        if self.path == "/accounts/early":
            self.send_response_only(103)
            self.send_header("link", "</a.css>; rel=preload")
            self.end_headers()
        length = int(self.headers.get("content-length") or 0)
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(self.rfile.read(length)),
        }
        body = json.dumps(seen).encode()
        self.send_response(302 if self.path == "/accounts/login-first" else 200)
        self.send_header("location", "/login")
        for number in range(300 if self.path == "/accounts/cookies" else 0):
            self.send_header("set-cookie", f"c{number}={'v' * 100}")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-powered-by", "echo")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _switch(self) -> None:
        """Switch protocols, tell which Connection field was seen, and echo bytes."""
        self.send_response(101)
        self.send_header("upgrade", self.headers["upgrade"])
        self.send_header("connection", "upgrade")
        self.send_header("x-seen-connection", self.headers.get("connection", ""))
        self.end_headers()
        self.close_connection = True
        while data := self.connection.recv(4096):
            self.connection.sendall(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _OnIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def echo_surface(path: Path) -> Iterator[None]:
    """Serve the same on a unix socket, as long as the block runs."""
    with serving(_OnSocket(str(path), _Echo)):
        yield


@contextmanager
def echo_upstream(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Serve an upstream that answers with what it was asked; gives its port."""
    server = (_OnIPv6 if ":" in host else ThreadingHTTPServer)((host, port), _Echo)
    server.daemon_threads = True
    with serving(server):
        yield server.server_port


class DoorSite:
    """Authorities, certificates and plans below one folder."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        self.folder = folder
        self.port = free_port()
        self.upstream = HttpUpstream(host="127.0.0.1", port=upstream_port)
        self.upstreams: dict[str, Upstream] = {}  # by application, of those that have one of their own
        self.now = datetime.now(UTC)
        root = toy_ca(not_before=self._past, not_after=self._future)
        self.issuing = root.issuing(not_before=self._past, not_after=self._future)
        self.stranger = toy_ca("Stranger", not_before=self._past, not_after=self._future)
        (folder / "root.pem").write_bytes(root.pem)
        self.paths = GatewayPaths(
            authorizer_socket=str(folder / "authz.sock"),
            discovery_socket=str(folder / "ads" / "s"),
            log_file=str(folder / "access.log"),
        )
        self.certificate = self.server_certificate("server-1")
        for kind in KeyKind:
            self.client_certificate(kind.value, key_kind=kind)
        self.client_certificate("expired", not_before=self.now - timedelta(days=3), not_after=self._past)
        self.client_certificate("stranger", by=self.stranger)

    @property
    def _past(self) -> datetime:
        return self.now - timedelta(days=1)

    @property
    def _future(self) -> datetime:
        return self.now + timedelta(days=30)

    def server_certificate(self, name: str, hosts: Sequence[str] = HOSTS) -> ServerCertificate:
        """Make a server certificate in files of its own."""
        issued = self.issuing.server(*hosts, not_before=self._past, not_after=self._future)
        chain, key = self._store(name, issued, self.issuing)
        return ServerCertificate(name=name, chain_path=chain, key_path=key, hosts=tuple(hosts))

    def client_certificate(self, stem: str, *, by: CertifiedKey | None = None, **options: Any) -> None:
        """Make a client certificate that requests can name."""
        ca = by or self.issuing
        dates = {"not_before": self._past, "not_after": self._future}
        self._store(stem, ca.leaf(**{"name": "alice", **dates, **options}), ca)

    def _store(self, name: str, issued: CertifiedKey, ca: CertifiedKey) -> tuple[str, str]:
        chain, key = issued.write(self.folder, name, ca)
        return str(chain), str(key)

    def plan(
        self,
        apps: Mapping[str, Sequence[Rule]],
        *,
        aliases: Mapping[str, frozenset[str]] | None = None,
        certificate: ServerCertificate | None = None,
        limits: GatewayLimits | None = None,
        partners: Mapping[str, DoorTrust] | None = None,
        public: Mapping[str, Sequence[str]] | None = None,
        origins: Mapping[str, Sequence[str]] | None = None,
        upstream_files: Mapping[str, UpstreamFiles] | None = None,
        keeping: Collection[str] = (),
        upstreams: Mapping[str, Upstream] | None = None,
        alpn: Mapping[str, tuple[str, ...]] | None = None,
        sessions: SessionPlan | None = None,
        pages: ReplyPages | None = None,
        portal: Path | None = None,
        est: Path | None = None,
        explaining: Collection[str] = (),
    ) -> GatewayPlan:
        """Plan these applications (`<name>.test` each), the enrolment door, and EST or a portal if its socket is given."""
        used = certificate or self.certificate
        document = Document(
            trust_domain="corp.example",
            apps=tuple(
                AppPolicy(
                    name=name,
                    hosts=(f"{name}.test",),
                    upstream={**self.upstreams, **(upstreams or {})}.get(name, self.upstream),
                    alpn=(alpn or {}).get(name, ()),
                    rules=tuple(rules),
                    keeps_slashes=name in keeping,
                    on_refusal=OnRefusal.PAGE if name in explaining else OnRefusal.ALERT,
                    public=tuple(PathPattern(one) for one in (public or {}).get(name, ())),
                    origins=tuple((origins or {}).get(name, ())),
                )
                for name, rules in apps.items()
            ),
        )
        return build_plan(
            document,
            tenant=TENANT,
            application_ids=IDS,
            certificates=dict.fromkeys(apps, used),
            aliases=aliases or {},
            partners=partners or {},
            listen=[SocketAddress(host="127.0.0.1", port=self.port)],
            trust=[self.issuing.pem.decode()],
            upstream_files=upstream_files or {},
            paths=self.paths,
            open_doors=[
                OpenDoor(
                    id=ENROL_CHAIN,
                    name="enrolment",
                    host="enroll.test",
                    socket=str(self.folder / "enrol.sock"),
                    certificate=used,
                    routes=(
                        OpenRoute(method="POST", path="/enrol"),
                        OpenRoute(method="GET", path="/i/{name}"),
                    ),
                    connections=2_000,
                    body_bytes=32_768,
                ),
                *([] if est is None else [self.est_door(est, used)]),
            ],
            limits=limits or GatewayLimits(requests_per_certificate=100_000),
            sessions=sessions,
            pages=pages,
            portal=None if portal is None else self.portal_door(portal, used),
        )

    def est_door(self, socket_path: Path, certificate: ServerCertificate) -> OpenDoor:
        """Return the EST door as the gateway makes it."""
        return OpenDoor(
            id=EST_CHAIN,
            name="est",
            host="est.test",
            socket=str(socket_path),
            certificate=certificate,
            routes=EST_ROUTES,
            connections=2_000,
            body_bytes=32_768,
            asks_certificate=True,
        )

    def portal_door(self, socket_path: Path, certificate: ServerCertificate) -> PortalDoor:
        """Return the portal's door, which trusts our own authority."""
        return PortalDoor(
            host="portal.test",
            socket=str(socket_path),
            certificate=certificate,
            trust=DoorTrust(authorities=(self.issuing.pem.decode(),)),
            own_origins=("https://portal.test",),
            connections=100,
            body_bytes=65_536,
        )

    def resources(self, apps: Mapping[str, Sequence[Rule]], **options: Any) -> Resources:
        """Compile these applications."""
        return build_resources(self.plan(apps, **options))

    def tls(self, certificate: str | None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client's TLS context with one of the site's certificates, or none."""
        context = ssl.create_default_context(cafile=str(self.folder / "root.pem"))
        if certificate:
            context.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def connect(
        self,
        host: str,
        certificate: str | None = "p256",
        version: ssl.TLSVersion | None = None,
        *,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Open a connection to one of the doors; the caller closes it."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENT_SECONDS)
        try:
            used = context or self.tls(certificate, version)
            return used.wrap_socket(plain, server_hostname=host, session=session)
        except BaseException:
            plain.close()
            raise

    def alert(
        self,
        host: str,
        certificate: str | None = "p256",
        version: ssl.TLSVersion | None = None,
        *,
        quiet: float = 0.3,
    ) -> str:
        """Shake hands, send nothing; return the alert that came, or nothing.

        An alert is waited for: after the silence our end is closed for writing, and a door that took the certificate
        closes too. A door that closes without an alert must do so within `quiet` seconds, or it counts as nothing.
        """
        try:
            with self.connect(host, certificate, version) as connection:
                connection.settimeout(quiet)
                try:
                    connection.recv(1)
                except TimeoutError:
                    return self._late_alert(connection)
        except ssl.SSLError as error:
            return error.reason or "closed"
        except ConnectionResetError:
            return "reset"
        return "closed"

    @staticmethod
    def _late_alert(connection: ssl.SSLSocket) -> str:
        socket.socket.shutdown(connection, socket.SHUT_WR)  # SSLSocket's own would stop reading TLS
        connection.settimeout(_PATIENT_SECONDS)
        try:
            connection.recv(1)
        except ssl.SSLEOFError:
            return ""
        except ssl.SSLError as error:
            return error.reason or "closed"
        except ConnectionResetError:
            return ""
        return ""

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = "pay.test",
        headers: Sequence[tuple[str, str]] = (),
        certificate: str | None = "p256",
        sni: str = "",
        body: bytes = b"",
        over: ssl.SSLSocket | None = None,
    ) -> Answer:
        """Send one request, on a connection of its own unless one is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = over or self.connect(sni or host, certificate)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            if over is None:
                connection.close()
        return Answer(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=text,
            seen=json.loads(text) if text.startswith('{"method"') else {},
        )

    def log_lines(self) -> list[dict[str, Any]]:
        """The access log so far, with the fields of a line side by side."""
        text = (self.folder / "access.log").read_text()
        return [joined(json.loads(line)) for line in text.splitlines()]


READ = allow("tellers read", "tellers", "/accounts/**", methods=("GET", "HEAD"))
SEND = allow("tellers send", "tellers", "/transfers", "/x/*/y", methods=("POST",))
LOOK = allow("auditors look", "auditors", "/**", methods=("GET",))
CLOSED = deny("no contractors", "contractors", "/accounts/secret/**")
APPS: Mapping[str, tuple[Rule, ...]] = {
    "pay": (READ, SEND, LOOK, CLOSED),
    "other": (allow("all", "tellers"),),
}
TELLER = id_of("pay", READ)
AUDITOR = id_of("pay", LOOK)
CLEARED = id_of("pay", CLOSED)
