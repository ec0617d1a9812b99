"""The kinds of doors: an HTTP application, a TCP application, the portal, a host that asks for no certificate.

Not here: how Envoy says them (`enforcement.envoy.http_door`, `tcp_door`, `portal_door`, `open_door`).
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
"""Hard end of a connection of an open door: the reconciler cuts unknown sockets after 10 s."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_ID = re.compile(r"[a-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """A server certificate by reference: PEM files of the chain (leaf first) and of its key.

    `hosts` are the DNS names in it: a door shows it for no other. A renewed certificate
    keeps its name, so that the door's chain stays as it is, and has new paths: Envoy reads the files again
    when the secret names others, and a pair that changes under one path could be read half old, half new.
    """

    name: str
    chain_path: str
    key_path: str
    hosts: tuple[str, ...]

    def __post_init__(self) -> None:
        require(_NAME.fullmatch(self.name), "a server certificate needs a plain name")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRule:
    """One rule as the door enforces it: a connection that holds an accepted id is within it, for its residual.

    `accepted` begins with `id`; the rest are class tokens of connections judged before a policy edit
    that count as holding it (`transition.aliases_for`).
    """

    id: str
    effect: Effect
    residual: Residual
    accepted: tuple[str, ...]

    def __post_init__(self) -> None:
        require(self.accepted and self.accepted[0] == self.id, "a rule accepts its own id first")
        require(all(_ID.fullmatch(one) for one in self.accepted), "ids are of [a-z0-9_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ApplicationDoor:
    """What the doors of applications have in common: one filter chain, one cluster, rules, a trust.

    `trust` is None if Envoy verifies that an issuing authority of ours vouches: the plan holds those.
    Otherwise the chain is unverified, and the authorizer alone judges.
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
        require(_ID.fullmatch(self.id), "an application's id is of [a-z0-9_]")
        require(self.hosts, "an application without a host cannot be reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDoor(_ApplicationDoor):
    """One application of HTTP; its rules are in a route table.

    `upstream_files` are what an upstream that speaks TLS is verified by. `public` are paths open to everybody;
    `own_origins` are those of its own pages, `origins` those of other sites that may call it. `explains_refusal` says whether
    a refused connection lives on for a page.
    """

    upstream: WebUpstream
    public: tuple[PathPattern, ...] = ()
    own_origins: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    headers: HeaderOptions = DEFAULT_HEADER_OPTIONS
    upstream_files: UpstreamFiles | None = None
    keeps_slashes: bool = False
    explains_refusal: bool = False

    def __post_init__(self) -> None:
        _ApplicationDoor.__post_init__(self)
        require(
            self.trust is not None or not self.certificate_optional,
            "a door that verifies chains ends anonymous connections in the handshake",
        )

    @property
    def has_no_upstream(self) -> bool:
        """Whether its requests reach no upstream: it is shut, or its TLS could not be verified."""
        speaks_tls = isinstance(self.upstream, HttpUpstream) and self.upstream.tls is not None
        return self.is_shut or (speaks_tls and self.upstream_files is None)

    @property
    def admits_anonymous(self) -> bool:
        """Whether a connection without a good certificate may live here, for what is open to everybody."""
        return bool(self.public or self.origins)

    @property
    def certificate_optional(self) -> bool:
        """Whether a handshake without a certificate ends well."""
        return self.admits_anonymous or self.explains_refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpDoor(_ApplicationDoor):
    """One application of any other protocol: judged once for each connection, then bytes pass.

    `alpn` are the protocols that a client may offer (RFC 7301); one that offers another is refused, one
    that offers none is not.
    """

    upstream: TcpUpstream
    alpn: tuple[str, ...] = ()

    @property
    def certificate_optional(self) -> bool:
        """Whether a handshake without a certificate ends well: never."""
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
    """One host that asks for no client certificate; it leads to a socket of our own only.

    `id` names its chain, route table and cluster, `name` is for people; `connections` and `body_bytes` are its own limits, and a
    connection ends after `lifetime`.
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

    def __post_init__(self) -> None:
        require(_ID.fullmatch(self.id), "an open door's id is of [a-z0-9_]")
        check_socket_path(self.socket)
        require(self.routes, "an open door without routes admits nothing")
        require(
            timedelta(seconds=2) < self.lifetime <= OPEN_LIFETIME,
            "a connection of an open door ends before the reconciler takes it for a stranger",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalDoor:
    """The portal's host: a certificate is asked for and not needed, and it leads to a socket of our own only.

    Its chain is unverified; the authorizer judges each connection, and a request says who comes only if the connection
    was judged good. `own_origins` are those of its own pages.
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
        require(self.own_origins, "a portal without an origin of its own could not be used")

    @property
    def id(self) -> str:
        """The id under which its connections are judged; names its chain, route table and cluster."""
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
        """Whether a handshake without a certificate ends well."""
        return True


Door = HttpDoor | TcpDoor | PortalDoor | OpenDoor
