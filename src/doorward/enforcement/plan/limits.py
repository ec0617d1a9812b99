"""Counts, sizes and times of a gateway's data plane, and where it finds its surroundings.

Not here: the default figures that settings show (`enforcement.capacity`), and those of one application (`policy.app_limits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.core.sockets import LONGEST_SOCKET_PATH
from doorward.enforcement.capacity import (
    CONNECTIONS,
    CONNECTIONS_PER_PRINCIPAL,
    CONNECTIONS_PER_SOURCE,
    REQUESTS_PER_CERTIFICATE,
)

ANONYMOUS_CONNECTIONS = 5_000
"""Places for connections without a good certificate, at most a tenth of all: strangers cannot take the places of others."""

ANONYMOUS_PER_SOURCE = 500
"""The same for one source: the browsers of an office send their preflights from one address."""

LEAST_SHARE = 32
"""Of one principal, if one address may have very few."""

UNDECIDED_PER_SOURCE = 100
"""An office has dozens that are still shaking hands or have not spoken yet; a flood has thousands."""


def check_socket_path(path: str) -> None:
    """Raise ValueError unless `path` is absolute and short enough for a unix socket."""
    require(path.startswith("/"), "a socket's path is absolute")
    require(
        len(path.encode()) <= LONGEST_SOCKET_PATH, f"a socket's path has at most {LONGEST_SOCKET_PATH} bytes"
    )


def require(condition: object, message: str) -> None:
    """Raise ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """Where the door listens: an IP address without brackets and a port, 1 to 65535."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPaths:
    """Where the data plane finds its surroundings, all absolute: sockets, the log, what Envoy watches."""

    authorizer_socket: str
    log_file: str
    xds: str

    def __post_init__(self) -> None:
        check_socket_path(self.authorizer_socket)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """Bounds of the door: counts, sizes, times. Every one is written out, none is left to a default.

    Envoy closes what is beyond `connections`, unfinished handshakes and the enrolment door included;
    the gateway's registry counts by the same figure what it was asked about, over all Envoys while one
    drains. By source only the gateway counts, one IPv4 address or one IPv6 /64: in the registry, and
    among the connections about which the gateway was not asked yet (`undecided_per_source`).
    """

    connections: int = CONNECTIONS
    connections_per_source: int = CONNECTIONS_PER_SOURCE
    anonymous_connections: int = ANONYMOUS_CONNECTIONS
    anonymous_per_source: int = ANONYMOUS_PER_SOURCE
    connections_per_principal: int = CONNECTIONS_PER_PRINCIPAL
    requests_per_certificate: int = REQUESTS_PER_CERTIFICATE
    enrol_connections: int = 2_000  # twenty sources with all that each may have undecided
    portal_connections: int = 4_000  # what strangers hold of them is the anonymous share
    portal_body_bytes: int = 65_536  # a CSR, or a browser's answer about a key
    header_kilobytes: int = 32  # of the enrolment door; an application has its own (policy.app_limits)
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
    stream_idle: timedelta = timedelta(minutes=5)  # until a route is found; then `policy.app_limits` counts
    connection_lifetime: timedelta = timedelta(hours=12)
    anonymous_lifetime: timedelta = timedelta(hours=1)
    refused_lifetime: timedelta = timedelta(
        seconds=60
    )  # of one that gets a page: it comes back with a better certificate
    upstream_connect: timedelta = timedelta(seconds=3)

    def __post_init__(self) -> None:
        for field in self.__dataclass_fields__:
            value = getattr(self, field)
            require(value > (timedelta() if isinstance(value, timedelta) else 0), f"{field} must be positive")

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


DEFAULT_LIMITS = GatewayLimits()
"""If the settings say nothing."""
