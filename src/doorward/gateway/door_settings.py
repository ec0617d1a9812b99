"""The settings of a gateway's door: its listeners, sockets, files and limits, which no policy contains.

Not here: reading settings (runtime), and the configuration made from them (publishing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from doorward.enforcement.capacity import HSTS
from doorward.enforcement.plan import SESSION_LIFETIME, GatewayLimits, ReplyPages, SocketAddress
from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """The settings of a gateway's door.

    Args:
        listen: where Envoy listens.
        authorizer_socket: where the authorizer listens.
        discovery_socket: where Envoy gets its configuration; the same path for every run, in a folder with mode 0700.
        enrol_socket: where `serve` answers requests to the enrolment host.
        log_file: Envoy's access log.
        forbidden_upstreams: this installation's own sockets and listeners, which no application may lead to.
        est_host: the EST server's host name; empty if there is no EST server.
        est_socket: where `serve` answers requests to the EST host.
        portal_host: the portal's host name; empty if there is no portal.
        portal_origin: the portal's origin as browsers see it.
        portal_socket: where `serve` answers requests to the portal.
        sessions_socket: where `serve` answers the door's own paths on hosts of applications.
        session_lifetime: how long a session lasts at most.
        portal_from_acme: whether an ACME authority certifies the portal.
        portal_files: the portal's server certificate (leaf first) and its key; None for one of our own authority.
        public_ports: further ports under which browsers see the door, beside those where it listens.
        hsts: lifetime of the `Strict-Transport-Security` header.
        pages: the pages with which Envoy itself answers browsers.
        limits: the door's limits.
    """

    listen: tuple[SocketAddress, ...]
    authorizer_socket: str
    discovery_socket: str
    enrol_socket: str
    log_file: str
    forbidden_upstreams: ForbiddenUpstreams
    est_host: str = ""
    est_socket: str = ""
    portal_host: str = ""
    portal_origin: str = ""
    portal_socket: str = ""
    sessions_socket: str = ""
    session_lifetime: timedelta = SESSION_LIFETIME
    portal_files: tuple[Path, Path] | None = None
    portal_from_acme: bool = False
    public_ports: tuple[int, ...] = ()
    hsts: timedelta = HSTS
    pages: ReplyPages | None = None
    limits: GatewayLimits = field(default_factory=GatewayLimits)
