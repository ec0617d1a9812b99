"""The plan of a gateway in Doorward's own terms: doors, rules, trust, limits.

A plan is a pure value: equal plans give byte-equal configuration. Not here: Envoy's configuration
(`enforcement.envoy`), and which connection has which id (policy.decision).
"""

from __future__ import annotations

from doorward.enforcement.open_routes import OpenRoute
from doorward.enforcement.plan.challenges import ChallengeDoor
from doorward.enforcement.plan.compiling import build_door, build_plan
from doorward.enforcement.plan.doors import (
    OPEN_LIFETIME,
    ApplicationDoor,
    Door,
    DoorRule,
    HttpDoor,
    OpenDoor,
    PortalDoor,
    ServerCertificate,
    TcpDoor,
)
from doorward.enforcement.plan.gateway import GatewayPlan
from doorward.enforcement.plan.limits import (
    ANONYMOUS_CONNECTIONS,
    ANONYMOUS_PER_SOURCE,
    LEAST_SHARE,
    UNDECIDED_PER_SOURCE,
    GatewayLimits,
    GatewayPaths,
    SocketAddress,
    check_socket_path,
)
from doorward.enforcement.plan.pages import Placeholder, ReplyPages
from doorward.enforcement.plan.sessions import SESSION_LIFETIME, SessionPlan

__all__ = [
    "ANONYMOUS_CONNECTIONS",
    "ANONYMOUS_PER_SOURCE",
    "LEAST_SHARE",
    "OPEN_LIFETIME",
    "SESSION_LIFETIME",
    "UNDECIDED_PER_SOURCE",
    "ApplicationDoor",
    "ChallengeDoor",
    "Door",
    "DoorRule",
    "GatewayLimits",
    "GatewayPaths",
    "GatewayPlan",
    "HttpDoor",
    "OpenDoor",
    "OpenRoute",
    "Placeholder",
    "PortalDoor",
    "ReplyPages",
    "ServerCertificate",
    "SessionPlan",
    "SocketAddress",
    "TcpDoor",
    "build_door",
    "build_plan",
    "check_socket_path",
]
