"""The door of an HTTP application: a connection manager, a route table with its rules, a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from doorward.enforcement.envoy.app_limits import limit_answers
from doorward.enforcement.envoy.clusters import build_empty_cluster, build_upstream
from doorward.enforcement.envoy.door_compiler import (
    Resource,
    build_chain,
    build_connection_limit,
    build_judgement,
    select_chain,
)
from doorward.enforcement.envoy.http import HTTP_ALPN, build_http
from doorward.enforcement.envoy.routes import build_closed_table, build_door_table
from doorward.enforcement.envoy.tls import build_client_tls
from doorward.enforcement.plan import GatewayPlan, HttpDoor


@dataclass(frozen=True, slots=True)
class HttpDoorCompiler:
    """See `DoorCompiler`."""

    plan: GatewayPlan
    door: HttpDoor

    def chain(self) -> Resource:
        """Return the filter chain; rules are not in it."""
        plan, door = self.plan, self.door
        filters = [
            build_connection_limit(door.id, plan.limits.connections_per_door),
            *build_judgement(door.id, plan, without_authorizer=door.has_refusal_page),
            build_http(door, plan.paths, plan.limits, plan.sessions, plan.pages),
        ]
        socket = build_client_tls(door, HTTP_ALPN)
        return build_chain(door.id, socket, filters, plan.limits.handshake)

    def chain_matches(self) -> Mapping[str, Resource]:
        """Return that each host selects the chain, for any offered protocol."""
        return {host: select_chain(self.door.id) for host in self.door.hosts}

    def cluster(self) -> Resource:
        """Return the application's cluster."""
        door, limits = self.door, self.plan.limits
        if door.has_no_upstream:  # 503
            cluster = build_empty_cluster(door.id, door.upstream, limits)
        else:
            cluster = build_upstream(door.id, door.upstream, limits, door.upstream_files)
        return limit_answers(cluster, door.app_limits)

    def table(self) -> Resource:
        """Return the route table."""
        return build_door_table(self.door, self.plan.sessions)

    def extension(self) -> None:
        """Return None: the rules are in the route table."""

    def closed(self) -> Resource:
        """Return a table that answers every request with 503."""
        return build_closed_table(self.door.id)
