"""Limits of a gateway (counts, sizes, times), and the paths of its sockets and files.

Not here: default values that settings show (`enforcement.capacity`), and limits of one application (`policy.app_limits`).
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
"""For connections without a good certificate; at most a tenth of all, so that strangers cannot take the room of others."""

ANONYMOUS_PER_SOURCE = 500
"""The same for one source: the browsers of an office send their preflights from one address."""

LEAST_SHARE = 32
"""The share of one principal, if one address may have very few connections."""

UNDECIDED_PER_SOURCE = 100
"""An office has dozens of connections in the handshake or before the first byte; a flood has thousands."""


OPEN_FILES = 1 << 21
"""If nothing says how many files Envoy may open: enough for every number of connections that may be set."""


def check_socket_path(path: str) -> None:
    """Raise ValueError if `path` is not absolute, or too long for a unix socket."""
    require(path.startswith("/"), "a socket's path is absolute")
    require(
        len(path.encode()) <= LONGEST_SOCKET_PATH, f"a socket's path has at most {LONGEST_SOCKET_PATH} bytes"
    )


def require(condition: object, message: str) -> None:
    """Raise ValueError with the message if the condition does not hold."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """An address where the gateway listens: an IP address without brackets, and a port from 1 to 65535."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPaths:
    """Absolute paths of a gateway: the sockets of the authorizer and of the discovery service, and the log file."""

    authorizer_socket: str
    discovery_socket: str
    log_file: str

    def __post_init__(self) -> None:
        check_socket_path(self.authorizer_socket)
        check_socket_path(self.discovery_socket)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """Limits of a gateway: counts, sizes, times. Each one is explicit; none is left to Envoy's defaults.

    Envoy closes connections beyond `accepted`; unfinished handshakes and the enrolment door count. The gateway's
    registry has the limit `connections` for those that it knows, over all Envoys while one drains. Only the gateway
    counts by source (one IPv4 address or one IPv6 /64): connections in the registry, and connections that Envoy has not
    asked about yet (`undecided_per_source`).
    """

    connections: int = CONNECTIONS
    open_files: int = OPEN_FILES  # of one Envoy
    connections_per_source: int = CONNECTIONS_PER_SOURCE
    anonymous_connections: int = ANONYMOUS_CONNECTIONS
    anonymous_per_source: int = ANONYMOUS_PER_SOURCE
    connections_per_principal: int = CONNECTIONS_PER_PRINCIPAL
    requests_per_certificate: int = REQUESTS_PER_CERTIFICATE
    enrol_connections: int = 2_000  # enough for twenty sources with `undecided_per_source` connections each
    portal_connections: int = 4_000  # strangers have at most the anonymous share of them
    portal_body_bytes: int = 65_536  # a CSR, or a browser's WebAuthn response
    header_kilobytes: int = 32  # for the enrolment door; an application has its own (policy.app_limits)
    header_count: int = 100
    streams_per_connection: int = 64
    heap_bytes: int = 2 << 30  # Envoy's whole heap; `envoy.overload` says what happens before it is full
    buffer_bytes: int = 32_768  # without it, 40 undecided connections took 44 MiB (measured)
    enrol_body_bytes: int = 32_768  # a CSR with a 4096-bit key is under 3 KiB
    hello: timedelta = timedelta(seconds=5)  # a ClientHello needs no person
    open_handshake: timedelta = timedelta(seconds=5)  # for a door that asks for no certificate
    handshake: timedelta = timedelta(seconds=60)  # time to find the smart card and type the PIN
    authorizer: timedelta = timedelta(seconds=5)  # an answer waits while a policy is published
    request_headers: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(minutes=5)
    stream_idle: timedelta = timedelta(minutes=5)  # until a route is found; then `policy.app_limits` applies
    connection_lifetime: timedelta = timedelta(hours=12)
    anonymous_lifetime: timedelta = timedelta(hours=1)
    refused_lifetime: timedelta = timedelta(
        seconds=60
    )  # of a connection that gets a page: the person connects again with a good certificate
    upstream_connect: timedelta = timedelta(seconds=3)

    def __post_init__(self) -> None:
        for field in self.__dataclass_fields__:
            value = getattr(self, field)
            require(value > (timedelta() if isinstance(value, timedelta) else 0), f"{field} must be positive")

    @property
    def accepted(self) -> int:
        """The largest number of connections that one Envoy accepts: `connections`, and at most half of its files.

        A connection may need a second file, for its application. If clients take all files, Envoy reaches no application,
        and cannot open its log again (docs/design/0121).
        """
        return max(1, min(self.connections, self.open_files // 2))

    @property
    def undecided_per_source(self) -> int:
        """The largest number of undecided connections of one source; no limit if one source may have all connections.

        That setting means that a load balancer is in front of the door: every client has its address.
        """
        behind_balancer = self.connections_per_source >= self.connections
        return self.connections if behind_balancer else UNDECIDED_PER_SOURCE

    @property
    def share_of_principal(self) -> int:
        """The largest number of connections of one principal: at most half of the limit of one address.

        At least `LEAST_SHARE`: a single browser needs a few dozen.
        """
        return min(self.connections_per_principal, max(LEAST_SHARE, self.connections_per_source // 2))

    @property
    def openings_per_certificate(self) -> int:
        """The largest number of connections that one certificate may open in a minute; some clients send few requests on each."""
        return 12 * self.requests_per_certificate

    @property
    def anonymous_share(self) -> tuple[int, int]:
        """The largest number of connections without a good certificate: in all, and for one source."""
        most = max(1, min(self.anonymous_connections, self.accepted // 10))
        behind_balancer = self.connections_per_source >= self.connections
        return most, most if behind_balancer else min(most, self.anonymous_per_source)

    @property
    def connections_per_door(self) -> int:
        """Half of the total, so that no application uses up the limit of the other applications.

        With few open files at most nine tenths of what Envoy accepts.
        """
        return max(1, min(self.connections // 2, self.accepted - self.accepted // 10))


DEFAULT_LIMITS = GatewayLimits()
"""The limits if the settings name none."""
