"""Builds the parts of each kind of door, and what all doors share; `listener` puts the chains together."""

from __future__ import annotations

from typing import assert_never

from doorward.enforcement.envoy.clusters import build_upstream
from doorward.enforcement.envoy.door_compiler import DoorCompiler, DoorParts, Resource
from doorward.enforcement.envoy.extension import build_typed
from doorward.enforcement.envoy.http_door import HttpDoorCompiler
from doorward.enforcement.envoy.names import SESSIONS_CLUSTER
from doorward.enforcement.envoy.open_door import OpenDoorCompiler
from doorward.enforcement.envoy.portal_door import PortalDoorCompiler
from doorward.enforcement.envoy.tcp_door import TcpDoorCompiler
from doorward.enforcement.envoy.tls import build_door_secrets
from doorward.enforcement.envoy.transport_security import with_transport_security
from doorward.enforcement.plan import Door, GatewayPlan, HttpDoor, OpenDoor, PortalDoor, TcpDoor
from doorward.policy.model import UnixUpstream

_CLUSTER = "config.cluster.v3.Cluster"


def compiler_of(plan: GatewayPlan, door: Door) -> DoorCompiler:
    """Return the compiler for this kind of door."""
    match door:
        case HttpDoor():
            return HttpDoorCompiler(plan, door)
        case TcpDoor():
            return TcpDoorCompiler(plan, door)
        case PortalDoor():
            return PortalDoorCompiler(plan, door)
        case OpenDoor():
            return OpenDoorCompiler(plan, door)
    assert_never(door)


def build_door_parts(plan: GatewayPlan, door: Door) -> DoorParts:
    """Return the parts of one door; they depend on no other door of the plan."""
    compiler = compiler_of(plan, door)
    table = compiler.table()
    return DoorParts(
        chain=compiler.chain(),
        matches=compiler.chain_matches(),
        secrets=build_door_secrets(door),
        cluster=build_typed(_CLUSTER, **compiler.cluster()),
        table=None if table is None else with_transport_security(table, plan.hsts),
        extension=compiler.extension(),
        closed=compiler.closed(),
    )


def build_sessions_cluster(plan: GatewayPlan) -> Resource | None:
    """Return the cluster of our own surface on the hosts of applications; None if there are no sessions."""
    if plan.sessions is None:
        return None
    socket = UnixUpstream(path=plan.sessions.sessions_socket)
    return build_typed(_CLUSTER, **build_upstream(SESSIONS_CLUSTER, socket, plan.limits))
