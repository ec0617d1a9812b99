"""What a gateway shall enforce, in Doorward's own words: doors, rules, trust, limits.

Not here: how Envoy says it (`envoy/`), and who holds which id (policy.decision). A plan is a pure
value: equal plans give byte-equal configuration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from doorward.core.sockets import LONGEST_SOCKET_PATH
from doorward.enforcement.capacity import (
    CONNECTIONS,
    CONNECTIONS_PER_PRINCIPAL,
    CONNECTIONS_PER_SOURCE,
    HSTS,
    REQUESTS_PER_CERTIFICATE,
)
from doorward.enforcement.trust import Trust
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.decision import connection_id
from doorward.policy.model import AppPolicy, Document, Effect, HttpUpstream, Residual, Upstream
from doorward.policy.origins import own_origins
from doorward.policy.paths import PathPattern
from doorward.policy.request_headers import PLAIN, HeaderTerms
from doorward.policy.traffic import USUAL, Traffic

ANONYMOUS_CONNECTIONS = 5_000
"""Places for connections without a good certificate, at most a tenth of all: strangers cannot take the places of others."""

ANONYMOUS_PER_SOURCE = 500
"""The same for one source: the browsers of an office send their preflights from one address."""

LEAST_SHARE = 32
"""Of one principal, if one address may have very few."""

UNDECIDED_PER_SOURCE = 100
"""An office has dozens that are still shaking hands or have not spoken yet; a flood has thousands."""

ENROL_LIFETIME = timedelta(seconds=8)
"""Hard end of a connection of the enrolment door: the reconciler cuts unknown sockets after 10 s."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_ID = re.compile(r"[a-z0-9_]{1,64}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_OPEN_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]{1,128})+(/\*)?")


def check_socket_path(path: str) -> None:
    """Raise ValueError unless `path` is absolute and short enough for a unix socket."""
    _require(path.startswith("/"), "a socket's path is absolute")
    _require(
        len(path.encode()) <= LONGEST_SOCKET_PATH, f"a socket's path has at most {LONGEST_SOCKET_PATH} bytes"
    )


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """Where the door listens: an IP address without brackets and a port, 1 to 65535."""

    host: str
    port: int


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
        _require(_NAME.fullmatch(self.name), "a server certificate needs a plain name")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTerm:
    """One rule as the door enforces it: whoever holds an accepted id is within it, for its residual.

    `accepted` begins with `id`; the rest are class tokens of connections judged before a policy edit
    that count as holding it (`transition.aliases_for`).
    """

    id: str
    effect: Effect
    residual: Residual
    accepted: tuple[str, ...]

    def __post_init__(self) -> None:
        _require(self.accepted and self.accepted[0] == self.id, "a rule accepts its own id first")
        _require(all(_ID.fullmatch(one) for one in self.accepted), "ids are of [a-z0-9_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One protected application: one filter chain, one route table, one cluster.

    `upstream_files` are what an upstream that speaks TLS is verified by.

    `trust` is None if Envoy verifies that an issuing authority of ours vouches: the plan holds those.
    Otherwise the chain is unverified, and the authorizer alone judges. `public` are paths open to everybody;
    `own_origins` are those of its own pages, `origins` those of other sites that may call it.
    """

    id: str
    name: str
    hosts: tuple[str, ...]
    upstream: Upstream
    rules: tuple[RuleTerm, ...]
    certificate: ServerCertificate
    trust: Trust | None = None
    public: tuple[PathPattern, ...] = ()
    own_origins: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    headers: HeaderTerms = PLAIN
    upstream_files: UpstreamFiles | None = None
    is_shut: bool = False
    traffic: Traffic = USUAL
    keeps_slashes: bool = False

    def __post_init__(self) -> None:
        _require(_ID.fullmatch(self.id), "an application's id is of [a-z0-9_]")
        _require(self.hosts, "an application without a host cannot be reached")
        _require(
            self.trust is not None or not self.admits_anonymous,
            "a door that verifies chains ends anonymous connections in the handshake",
        )

    @property
    def leads_nowhere(self) -> bool:
        """Whether its requests reach no upstream: it is shut, or its TLS could not be verified."""
        speaks_tls = isinstance(self.upstream, HttpUpstream) and self.upstream.tls is not None
        return self.is_shut or (speaks_tls and self.upstream_files is None)

    @property
    def admits_anonymous(self) -> bool:
        """Whether a connection without a good certificate may live here, for what is open to everybody."""
        return bool(self.public or self.origins)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """One request that anybody may send to the enrolment door.

    `path` is exact; a final `/*` stands for one segment of `[A-Za-z0-9._~-]`.
    """

    method: str
    path: str

    def __post_init__(self) -> None:
        _require(_METHOD.fullmatch(self.method), "an open route names one method")
        _require(_OPEN_PATH.fullmatch(self.path), "an open route is exact, or ends in one open segment")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentDoor:
    """The one host that asks for no client certificate; it leads to `serve`'s enrolment socket only."""

    host: str
    socket: str
    certificate: ServerCertificate
    routes: tuple[OpenRoute, ...]

    def __post_init__(self) -> None:
        check_socket_path(self.socket)
        _require(self.routes, "an enrolment door without routes admits nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaths:
    """Where the data plane finds its surroundings, all absolute: sockets, the log, what Envoy watches."""

    authorizer_socket: str
    log_file: str
    xds: str

    def __post_init__(self) -> None:
        check_socket_path(self.authorizer_socket)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the door: counts, sizes, times. Every one is written out, none is left to a default.

    Envoy closes what is beyond `connections`, unfinished handshakes and the enrolment door included;
    the gateway's registry counts by the same figure what it was asked about, over all Envoys while one
    drains. By source only the gateway counts, one IPv4 address or one IPv6 /64: in the registry, and
    among the connections that nobody has asked about yet (`undecided_per_source`).
    """

    connections: int = CONNECTIONS
    connections_per_source: int = CONNECTIONS_PER_SOURCE
    anonymous_connections: int = ANONYMOUS_CONNECTIONS
    anonymous_per_source: int = ANONYMOUS_PER_SOURCE
    connections_per_principal: int = CONNECTIONS_PER_PRINCIPAL
    requests_per_certificate: int = REQUESTS_PER_CERTIFICATE
    enrol_connections: int = 2_000  # twenty sources with all that each may have undecided
    header_kilobytes: int = 32  # of the enrolment door; an application has its own (policy.traffic)
    header_count: int = 100
    streams_per_connection: int = 64
    heap_bytes: int = 2 << 30  # what Envoy may hold in all; `envoy.overload` says what happens before
    buffer_bytes: int = 32_768  # 40 undecided connections held 44 MiB without it (measured)
    enrol_body_bytes: int = 32_768  # a CSR with a 4096-bit key is under 3 KiB
    hello: timedelta = timedelta(seconds=5)  # a ClientHello does not wait for a person
    open_handshake: timedelta = timedelta(seconds=5)  # of a door that asks for no certificate
    handshake: timedelta = timedelta(seconds=60)  # a person looks for the card and types the PIN
    authorizer: timedelta = timedelta(seconds=5)  # an answer is held back while a policy is published
    request_headers: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(minutes=5)
    stream_idle: timedelta = timedelta(minutes=5)  # until a route is found; then `policy.traffic` counts
    connection_lifetime: timedelta = timedelta(hours=12)
    anonymous_lifetime: timedelta = timedelta(hours=1)
    upstream_connect: timedelta = timedelta(seconds=3)

    def __post_init__(self) -> None:
        for field in self.__dataclass_fields__:
            value = getattr(self, field)
            _require(
                value > (timedelta() if isinstance(value, timedelta) else 0), f"{field} must be positive"
            )

    @property
    def undecided_per_source(self) -> int:
        """How many undecided connections one source keeps; all of them where one source may have all.

        That is how a balancer is told of in front of the door: every client has its address.
        """
        behind_balancer = self.connections_per_source >= self.connections
        return self.connections if behind_balancer else UNDECIDED_PER_SOURCE

    @property
    def share_of_principal(self) -> int:
        """How many connections one principal may have: at most half of what one address may.

        An address that may have less than a few dozen is no office: one browser takes so many.
        """
        return min(self.connections_per_principal, max(LEAST_SHARE, self.connections_per_source // 2))

    @property
    def openings_per_certificate(self) -> int:
        """How many connections one certificate may open in a minute: some clients use each for few requests."""
        return 12 * self.requests_per_certificate

    @property
    def anonymous_share(self) -> tuple[int, int]:
        """Places for connections without a good certificate: in all, and for one source."""
        most = max(1, min(self.anonymous_connections, self.connections // 10))
        behind_balancer = self.connections_per_source >= self.connections
        return most, most if behind_balancer else min(most, self.anonymous_per_source)

    @property
    def connections_per_door(self) -> int:
        """Half of all, so that no application takes the door from the others."""
        return max(1, self.connections // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """Everything that one gateway's data plane shall be.

    Args:
        listen: at least one address; all serve the same doors.
        trust: PEM of each issuing authority of our own; their names go into CertificateRequest, and only
            certificates signed directly by one of them finish a handshake where a door has no other trust.
        doors: the applications, sorted by id.
        enrol: the enrolment door, or None where this gateway has none.
        paths: where the surroundings are.
        limits: counts, sizes, times.
        epoch: the run of Envoy that this is for, told to the authorizer.
        hsts: how long browsers remember to come with TLS only; zero tells them nothing.
    """

    listen: tuple[SocketAddress, ...]
    trust: tuple[str, ...]
    doors: tuple[Door, ...]
    paths: RunPaths
    enrol: EnrolmentDoor | None = None
    limits: Limits = Limits()
    epoch: int = 0
    hsts: timedelta = HSTS

    def __post_init__(self) -> None:
        _require(self.listen, "a gateway listens somewhere")
        _require(self.trust, "a door that trusts no authority would not check the handshake")
        ids = [door.id for door in self.doors]
        _require(ids == sorted(set(ids)), "doors are sorted by id, each once")
        hosts = [host for door in self.doors for host in door.hosts]
        hosts += [self.enrol.host] if self.enrol else []
        _require(len(hosts) == len(set(hosts)), "two doors share a host")

    @property
    def trusts(self) -> dict[str, Trust]:
        """The trust of each door that has one of its own, by the door's id."""
        return {door.id: door.trust for door in self.doors if door.trust is not None}

    @property
    def certificates(self) -> tuple[ServerCertificate, ...]:
        """Every server certificate once, sorted by name."""
        every = {door.certificate for door in self.doors}
        if self.enrol:
            every.add(self.enrol.certificate)
        return tuple(sorted(every, key=lambda one: one.name))


def build_plan(
    document: Document,
    *,
    tenant: str,
    application_ids: Mapping[str, str],
    certificates: Mapping[str, ServerCertificate],
    aliases: Mapping[str, frozenset[str]] = MappingProxyType({}),
    partners: Mapping[str, Trust] = MappingProxyType({}),
    upstream_files: Mapping[str, UpstreamFiles] = MappingProxyType({}),
    shut: Collection[str] = (),
    listen: Sequence[SocketAddress],
    trust: Sequence[str],
    paths: RunPaths,
    enrol: EnrolmentDoor | None = None,
    limits: Limits = Limits(),
    epoch: int = 0,
    hsts: timedelta = HSTS,
    public_ports: Sequence[int] = (),
) -> GatewayPlan:
    """Compile a policy document into what a gateway enforces.

    Args:
        document: the whole policy.
        tenant: the tenant's id.
        application_ids: application name to id (`app_…`).
        certificates: application name to its server certificate. A host that is in none is left out:
            it cannot be reached before its certificate is there, and the application's others can.
        aliases: new rule id to the class tokens that count as holding it.
        partners: application name to its trust, of those that trust more than our own authority.
        upstream_files: application name to the files by which its upstream is verified; an application
            that would need them and has none leads nowhere.
        shut: names of applications that lead nowhere.
        listen: where to listen.
        trust: PEM of each issuing authority of our own.
        paths: where the surroundings are.
        enrol: the enrolment door, if any.
        limits: counts, sizes, times.
        epoch: the run of Envoy that this is for.
        hsts: how long browsers remember to come with TLS only.
        public_ports: under which browsers see the door, beside those where it listens.

    Returns:
        The plan; equal arguments give an equal plan.

    Raises:
        KeyError: an application of the document has no id.
    """
    ours = Trust(authorities=tuple(sorted(set(trust))))
    ports = {*public_ports, *(one.port for one in listen)}
    doors = [
        build_door(
            app,
            tenant,
            application_ids[app.name],
            certificates[app.name],
            aliases,
            trust=partners.get(app.name, ours if app.admits_anonymous else None),
            ports=ports,
            upstream_files=upstream_files.get(app.name),
            is_shut=app.name in shut,
        )
        for app in document.apps
        if app.name in certificates and not set(app.hosts).isdisjoint(certificates[app.name].hosts)
    ]
    return GatewayPlan(
        listen=tuple(listen),
        trust=tuple(sorted(set(trust))),
        doors=tuple(sorted(doors, key=lambda door: door.id)),
        enrol=enrol,
        paths=paths,
        limits=limits,
        epoch=epoch,
        hsts=hsts,
    )


def build_door(
    app: AppPolicy,
    tenant: str,
    application_id: str,
    certificate: ServerCertificate,
    aliases: Mapping[str, frozenset[str]] = MappingProxyType({}),
    *,
    trust: Trust | None = None,
    ports: Collection[int] = (),
    upstream_files: UpstreamFiles | None = None,
    is_shut: bool = False,
) -> Door:
    """Compile one application, for those of its hosts that the certificate names; rules keep their order.

    `ports` are those under which browsers see the door.
    """
    terms = []
    for rule in app.rules:
        one = connection_id(tenant, application_id, rule.effect, rule.selector)
        accepted = (one, *sorted(aliases.get(one, frozenset())))
        terms.append(RuleTerm(id=one, effect=rule.effect, residual=rule.residual, accepted=accepted))
    hosts = tuple(sorted(set(app.hosts).intersection(certificate.hosts)))
    return Door(
        id=application_id,
        name=app.name,
        hosts=hosts,
        upstream=app.upstream,
        rules=tuple(terms),
        certificate=certificate,
        trust=trust,
        public=app.public,
        own_origins=own_origins(hosts, ports),
        origins=app.origins,
        headers=app.headers,
        upstream_files=upstream_files,
        is_shut=is_shut,
        traffic=app.traffic,
        keeps_slashes=app.keeps_slashes,
    )
