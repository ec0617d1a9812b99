"""A door that requires no client certificate: enrolment, EST.

The EST door asks for a certificate and verifies nothing but that the peer has its private key. What was shown goes to our
own surface alone (docs/design/0080).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from doorward.enforcement.envoy.clusters import build_spelling_upstream, build_upstream
from doorward.enforcement.envoy.door_compiler import (
    Resource,
    build_chain,
    build_connection_limit,
    select_chain,
)
from doorward.enforcement.envoy.http import EST_ALPN, HTTP_ALPN, build_open_http
from doorward.enforcement.envoy.routes import build_closed_table, build_open_table
from doorward.enforcement.envoy.tls import build_asking_tls, build_open_tls
from doorward.enforcement.plan import GatewayPlan, OpenDoor
from doorward.policy.model import UnixUpstream


@dataclass(frozen=True, slots=True)
class OpenDoorCompiler:
    """See `DoorCompiler`. The authorizer is not asked: no certificate gives access to anything here."""

    plan: GatewayPlan
    door: OpenDoor

    def chain(self) -> Resource:
        """Return the filter chain."""
        plan, door = self.plan, self.door
        filters = [
            build_connection_limit(door.id, door.connections),
            build_open_http(door, plan.paths, plan.limits),
        ]
        if door.asks_certificate:
            socket = build_asking_tls(door, EST_ALPN)
        else:
            socket = build_open_tls(door.certificate, HTTP_ALPN)
        return build_chain(door.id, socket, filters, plan.limits.open_handshake)

    def chain_matches(self) -> Mapping[str, Resource]:
        """Return that its host selects the chain."""
        return {self.door.host: select_chain(self.door.id)}

    def cluster(self) -> Resource:
        """Return the cluster of our own socket."""
        build = build_spelling_upstream if self.door.asks_certificate else build_upstream
        return build(self.door.id, UnixUpstream(path=self.door.socket), self.plan.limits)

    def table(self) -> Resource:
        """Return the route table."""
        return build_open_table(self.door)

    def extension(self) -> None:
        """Return None: it has no rules."""

    def closed(self) -> Resource:
        """Return a table that answers every request with 503."""
        return build_closed_table(self.door.id, has_rules=False)
