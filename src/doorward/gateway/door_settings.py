"""What a gateway's own settings add to the policy.

Not here: reading settings (runtime), and what is made of them (publishing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from doorward.enforcement.capacity import HSTS
from doorward.enforcement.plan import SESSION_LIFETIME, Limits, ReplyPages, SocketAddress
from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """What a gateway's own settings add to the policy.

    `enrol_socket` is where `serve` answers the enrolment host, `portal_socket` where it answers the portal's, and
    `sessions_socket` where it answers what belongs to the door on the hosts of applications;
    `portal_host` is empty where there is no portal, and `portal_origin` is how people see it;
    `portal_files` are the portal's server certificate (leaf first) and its key, None for one of our own authority;
    `public_ports` are those under which browsers see the door, beside the ones where it listens;
    `pages` are those with which Envoy itself answers browsers;
    `forbidden_upstreams` is where this installation answers itself, which no application may lead to.
    """

    listen: tuple[SocketAddress, ...]
    authorizer_socket: str
    enrol_socket: str
    log_file: str
    forbidden_upstreams: ForbiddenUpstreams
    portal_host: str = ""
    portal_origin: str = ""
    portal_socket: str = ""
    sessions_socket: str = ""
    session_lifetime: timedelta = SESSION_LIFETIME
    portal_files: tuple[Path, Path] | None = None
    public_ports: tuple[int, ...] = ()
    hsts: timedelta = HSTS
    pages: ReplyPages | None = None
    limits: Limits = field(default_factory=Limits)
