"""The portal's door: it asks for a certificate but does not require one; only judged connections have an identity.

In an unverified chain, most of Envoy's facts about a peer are the peer's own claims: its SAN, its principal, that TLS was
mutual. None of them is used here. A request of a connection that was judged good has the identity headers, from the
authorizer's facts. Any other request has none; it has the shown certificate in a header for pages that explain.

Not here: the answers of the portal (web).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward.enforcement.envoy.anonymous import build_claims, match_judged
from doorward.enforcement.envoy.clusters import build_upstream
from doorward.enforcement.envoy.cross_origin import build_cross_origin_routes, build_embedding_refusals
from doorward.enforcement.envoy.door_compiler import (
    Resource,
    build_chain,
    build_connection_limit,
    build_judgement,
    select_chain,
)
from doorward.enforcement.envoy.forwarding import build_forwarding
from doorward.enforcement.envoy.headers import build_identity, build_portal_headers, build_source
from doorward.enforcement.envoy.http import HTTP_ALPN, build_portal_http
from doorward.enforcement.envoy.names import ANONYMOUS, JUDGED, Refusal
from doorward.enforcement.envoy.refusals import build_message_refusals, build_protocol_refusals, build_refusal
from doorward.enforcement.envoy.routes import build_closed_table, build_table
from doorward.enforcement.envoy.tls import build_client_tls
from doorward.enforcement.plan import GatewayPlan, PortalDoor
from doorward.policy.model import ECHOING_METHODS, UnixUpstream
from doorward.policy.normalisation import REFUSED_PATH_REGEXES


@dataclass(frozen=True, slots=True)
class PortalDoorCompiler:
    """See `DoorCompiler`. If the authorizer does not answer, every request gets a fixed refusal."""

    plan: GatewayPlan
    door: PortalDoor

    def chain(self) -> Resource:
        """Return the filter chain."""
        plan, door = self.plan, self.door
        filters = [
            build_connection_limit(door.id, door.connections),
            *build_judgement(door.id, plan, without_authorizer=True),
            build_portal_http(door, plan.paths, plan.limits, plan.pages),
        ]
        return build_chain(door.id, build_client_tls(door, HTTP_ALPN), filters, plan.limits.handshake)

    def chain_matches(self) -> Mapping[str, Resource]:
        """Return that its host selects the chain."""
        return {self.door.host: select_chain(self.door.id)}

    def cluster(self) -> Resource:
        """Return the cluster of our own socket."""
        return build_upstream(self.door.id, UnixUpstream(path=self.door.socket), self.plan.limits)

    def table(self) -> Resource:
        """Return the route table."""
        return build_portal_table(self.door)

    def extension(self) -> None:
        """Return None: it has no rules."""

    def closed(self) -> Resource:
        """Return a table that answers every request with 503."""
        return build_closed_table(self.door.id, has_rules=False)


def build_portal_table(door: PortalDoor) -> dict[str, Any]:
    """Return the route table of the portal."""
    routes = [
        *build_protocol_refusals((door.host,)),
        *(build_refusal({"safe_regex": {"regex": regex}}, Refusal.PATH) for regex in REFUSED_PATH_REGEXES),
        *build_message_refusals(ECHOING_METHODS),
        *build_cross_origin_routes(door),
        *build_embedding_refusals(),
        _forward(door, JUDGED, [*build_identity(), build_source()]),
        _forward(door, ANONYMOUS, build_claims()),
        build_refusal({"prefix": "/"}, Refusal.AUTHORIZER_AWAY),
    ]
    return build_table(door.id, (door.host,), routes, build_portal_headers(), has_rules=False)


def _forward(door: PortalDoor, judged: str, headers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "match": {"prefix": "/", "filter_state": [match_judged(judged)]},
        "route": build_forwarding(door.id, UnixUpstream(path=door.socket)),
        "request_headers_to_add": headers,
    }
