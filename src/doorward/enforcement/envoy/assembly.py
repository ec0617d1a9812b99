"""Builds clusters, route tables and network filters for all doors of a plan; `listener` builds the chains."""

from __future__ import annotations

from typing import Any, assert_never

from doorward.enforcement.envoy.clusters import build_upstream
from doorward.enforcement.envoy.door_compiler import DoorCompiler, Resource
from doorward.enforcement.envoy.http_door import HttpDoorCompiler
from doorward.enforcement.envoy.names import SESSIONS_CLUSTER
from doorward.enforcement.envoy.open_door import OpenDoorCompiler
from doorward.enforcement.envoy.portal_door import PortalDoorCompiler
from doorward.enforcement.envoy.sessions import build_session_extension
from doorward.enforcement.envoy.tcp_door import TcpDoorCompiler
from doorward.enforcement.envoy.transport_security import with_transport_security
from doorward.enforcement.plan import Door, GatewayPlan, HttpDoor, OpenDoor, PortalDoor, TcpDoor
from doorward.policy.model import UnixUpstream


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


def every_compiler(plan: GatewayPlan) -> tuple[DoorCompiler, ...]:
    """Return the compilers of a plan's doors, applications first."""
    return tuple(compiler_of(plan, door) for door in plan.every_door)


def build_clusters(plan: GatewayPlan) -> tuple[Resource, ...]:
    """Return the clusters of a plan, sorted by name."""
    clusters = [one.cluster() for one in every_compiler(plan)]
    if plan.sessions is not None:
        socket = UnixUpstream(path=plan.sessions.sessions_socket)
        clusters.append(build_upstream(SESSIONS_CLUSTER, socket, plan.limits))
    typed = ({"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **one} for one in clusters)
    return tuple(sorted(typed, key=lambda one: str(one["name"])))


def build_route_tables(plan: GatewayPlan) -> dict[str, Resource]:
    """Return every route table of a plan by name; the name is the door's id."""
    tables = _named(one.table() for one in every_compiler(plan))
    return {name: with_transport_security(table, plan.hsts) for name, table in tables.items()}


def build_extensions(plan: GatewayPlan) -> dict[str, Resource]:
    """Return every filter that has a file of its own, by name: the rules of each TCP door, and the filter of sessions."""
    return _named((*(one.extension() for one in every_compiler(plan)), build_session_extension(plan)))


def _named(found: Any) -> dict[str, Resource]:
    there = [one for one in found if one is not None]
    return {one["name"]: one for one in sorted(there, key=lambda one: str(one["name"]))}
