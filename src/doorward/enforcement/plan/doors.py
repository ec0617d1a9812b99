"""The kinds of doors: an HTTP application, a TCP application, the portal, a host that is open to everybody.

Not here: their configuration in Envoy (`enforcement.envoy.http_door`, `tcp_door`, `portal_door`, `open_door`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.enforcement.open_routes import OpenRoute
from doorward.enforcement.plan.limits import check_socket_path, require
from doorward.enforcement.trust import DoorTrust
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.app_limits import DEFAULT_APP_LIMITS, AppLimits
from doorward.policy.model import Effect, HttpUpstream, Residual, TcpUpstream, WebUpstream
from doorward.policy.paths import PathPattern
from doorward.policy.request_headers import DEFAULT_HEADER_OPTIONS, HeaderOptions

OPEN_LIFETIME = timedelta(seconds=8)
"""The longest lifetime of a connection to an open door: the reconciler cuts unknown sockets after 10 s."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_ID = re.compile(r"[a-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """A server certificate by reference: PEM files of the chain (leaf first) and of its key.

    `hosts` are its DNS names: a door shows it for no other host. A renewed certificate keeps its name, so that the door's
    filter chain does not change. It has new paths: the gateway packs a door again only if its plan changed, and files
    that change under the same path could be read half old and half new. `issuer` is the SHA-256 of the certificate after the
    leaf, if it is one of our own authorities; empty otherwise.
    """

    name: str
    chain_path: str
    key_path: str
    hosts: tuple[str, ...]
    issuer: str = ""

    def __post_init__(self) -> None:
        require(_NAME.fullmatch(self.name), "the name of a server certificate has only [A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRule:
    """One rule as the door enforces it: it holds for a connection with an accepted id and a request within its residual.

    `accepted` begins with `id`. The others are aliases: class tokens and decisions of connections that were judged before
    a policy edit (`transition.aliases_for`).
    """

    id: str
    effect: Effect
    residual: Residual
    accepted: tuple[str, ...]

    def __post_init__(self) -> None:
        require(self.accepted and self.accepted[0] == self.id, "a rule accepts its own id first")
        require(all(_ID.fullmatch(one) for one in self.accepted), "an id has only [a-z0-9_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ApplicationDoor:
    """The common part of the doors of applications: one filter chain, one cluster, rules, a trust.

    `trust` is None if Envoy verifies the certificate by our own issuing authorities, which are in the plan. Otherwise the
    chain is unverified, and only the authorizer judges the certificate.
    """

    id: str
    name: str
    hosts: tuple[str, ...]
    rules: tuple[DoorRule, ...]
    certificate: ServerCertificate
    trust: DoorTrust | None = None
    is_shut: bool = False
    app_limits: AppLimits = DEFAULT_APP_LIMITS

    def __post_init__(self) -> None:
        require(_ID.fullmatch(self.id), "an application's id has only [a-z0-9_]")
        require(self.hosts, "an application without a host cannot be reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDoor(_ApplicationDoor):
    """One HTTP application; its rules are in a route table.

    `upstream_files` verify an upstream that uses TLS. `public` are paths that are open to everybody. `own_origins` are the
    origins of its own pages, `origins` those of other sites that may call it. `has_refusal_page` says whether a refused
    connection stays open for a page.
    """

    upstream: WebUpstream
    public: tuple[PathPattern, ...] = ()
    own_origins: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    headers: HeaderOptions = DEFAULT_HEADER_OPTIONS
    upstream_files: UpstreamFiles | None = None
    keeps_slashes: bool = False
    has_refusal_page: bool = False

    def __post_init__(self) -> None:
        _ApplicationDoor.__post_init__(self)
        require(
            self.trust is not None or not self.certificate_optional,
            "a door that admits anonymous connections needs a trust of its own: otherwise Envoy ends them in the handshake",
        )

    @property
    def has_no_upstream(self) -> bool:
        """Whether its requests reach no upstream: it is shut, or the files for its TLS are missing."""
        speaks_tls = isinstance(self.upstream, HttpUpstream) and self.upstream.tls is not None
        return self.is_shut or (speaks_tls and self.upstream_files is None)

    @property
    def admits_anonymous(self) -> bool:
        """Whether a connection without a good certificate is admitted, for public paths or preflights."""
        return bool(self.public or self.origins)

    @property
    def certificate_optional(self) -> bool:
        """Whether a handshake without a certificate succeeds."""
        return self.admits_anonymous or self.has_refusal_page


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpDoor(_ApplicationDoor):
    """One application of any other protocol: each connection is judged once, then bytes are passed on.

    `alpn` are the protocols that a client may offer (RFC 7301). A client that offers another one is refused; a client that
    offers none is accepted.
    """

    upstream: TcpUpstream
    alpn: tuple[str, ...] = ()

    @property
    def certificate_optional(self) -> bool:
        """Whether a handshake without a certificate succeeds: never."""
        return False

    def __post_init__(self) -> None:
        _ApplicationDoor.__post_init__(self)
        require(
            all(rule.residual == Residual() for rule in self.rules),
            "a rule of a TCP application is about whole connections",
        )


ApplicationDoor = HttpDoor | TcpDoor


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDoor:
    """One host that requires no client certificate; its upstream is always a socket of our own.

    `id` names its chain, route table and cluster; `name` is for people. `connections` and `body_bytes` are its own limits,
    and a connection ends after `lifetime`. If `asks_certificate`, it asks for a certificate, does not verify it, and
    passes the whole shown chain on: only the surface behind it judges the chain, and no application sees it.
    """

    id: str
    name: str
    host: str
    socket: str
    certificate: ServerCertificate
    routes: tuple[OpenRoute, ...]
    connections: int
    body_bytes: int
    lifetime: timedelta = OPEN_LIFETIME
    asks_certificate: bool = False

    def __post_init__(self) -> None:
        require(_ID.fullmatch(self.id), "an open door's id has only [a-z0-9_]")
        check_socket_path(self.socket)
        require(self.routes, "an open door without routes admits nothing")
        require(
            timedelta(seconds=2) < self.lifetime <= OPEN_LIFETIME,
            "the lifetime of connections to an open door is over 2 s and at most 8 s: the reconciler cuts unknown sockets",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalDoor:
    """The portal's host: it asks for a certificate but does not require one; its upstream is always a socket of our own.

    Its chain is unverified. The authorizer judges each connection, and a request has identity headers only if the
    connection was judged good. `own_origins` are the origins of its own pages.
    """

    host: str
    socket: str
    certificate: ServerCertificate
    trust: DoorTrust
    own_origins: tuple[str, ...]
    connections: int
    body_bytes: int

    def __post_init__(self) -> None:
        check_socket_path(self.socket)
        require(self.own_origins, "the portal needs an origin of its own: otherwise browsers cannot use it")

    @property
    def id(self) -> str:
        """The application id by which its connections are judged; it names its chain, route table and cluster."""
        return PORTAL_APPLICATION

    @property
    def name(self) -> str:
        """Its name for people, and the audience of its assertions."""
        return PORTAL_AUDIENCE

    @property
    def origins(self) -> tuple[str, ...]:
        """No other site may call it."""
        return ()

    @property
    def certificate_optional(self) -> bool:
        """Whether a handshake without a certificate succeeds."""
        return True


Door = HttpDoor | TcpDoor | PortalDoor | OpenDoor
