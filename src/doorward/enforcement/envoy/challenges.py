"""Chains for tls-alpn-01: a handshake with a challenge certificate, and nothing behind it.

1. Only a client that offers the protocol `acme-tls/1`, and no other, gets such a chain; anybody else at the same host gets
   the door as ever.
2. The chain has no HTTP and no upstream: the first byte after the handshake ends the connection, and so does time.
3. A host without a door has the chain too: its first certificate comes this way.
The chain is part of the listener and goes with it, so no other chain changes, and no connection ends.

Standard: RFC 8737 section 3, RFC 7301 section 3.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from doorward.enforcement.envoy.door_compiler import (
    Resource,
    build_chain,
    build_connection_limit,
    select_chain,
)
from doorward.enforcement.envoy.extension import build_extension, render_duration
from doorward.enforcement.envoy.tls import build_challenge_tls
from doorward.enforcement.plan import GatewayPlan
from doorward.enforcement.plan.challenges import ChallengeDoor

PROTOCOL = "acme-tls/1"
CONNECTIONS = 50
"""Of one host: an authority asks from some places at once."""

_NOTHING = "doorward_nothing"
"""The name of a cluster that does not exist."""


def build_challenge_chains(plan: GatewayPlan) -> list[Resource]:
    """Return the chains of all challenges of a plan."""
    return [_chain(plan, one) for one in plan.challenges]


def add_challenges(plan: GatewayPlan, matches: Mapping[str, Resource]) -> dict[str, Resource]:
    """Return the matchers by server name with those of challenges in front."""
    found = dict(matches)
    offered = build_extension(
        "doorward.alpn", "extensions.matching.common_inputs.network.v3.ApplicationProtocolInput"
    )
    for one in plan.challenges:
        only = {"single_predicate": {"input": offered, "value_match": {"exact": f"'{PROTOCOL}'"}}}
        matcher: Resource = {
            "matcher_list": {"matchers": [{"predicate": only, "on_match": select_chain(_name(one))}]}
        }
        if one.host in matches:
            matcher["on_no_match"] = matches[one.host]
        found[one.host] = {"matcher": matcher}
    return found


def _chain(plan: GatewayPlan, door: ChallengeDoor) -> Resource:
    name = _name(door)
    silence = build_extension(
        "doorward.nothing",
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=_NOTHING,
        cluster=_NOTHING,
        upstream_connect_mode="ON_DOWNSTREAM_DATA",
        max_early_data_bytes=1,
        idle_timeout=render_duration(plan.limits.hello),
        max_downstream_connection_duration=render_duration(plan.limits.hello),
        max_connect_attempts=1,
    )
    filters = [build_connection_limit(name, CONNECTIONS), silence]
    return build_chain(name, build_challenge_tls(door, PROTOCOL), filters, plan.limits.open_handshake)


def _name(door: ChallengeDoor) -> str:
    return f"acme_{hashlib.sha256(door.host.encode()).hexdigest()[:24]}"
