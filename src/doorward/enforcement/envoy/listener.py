"""The listener: one filter chain for each application, selected by SNI; connections with an unknown name are closed.

If a chain changes, Envoy drains its connections. So everything that changes often is elsewhere: rules in route tables
(RDS), certificates and anchors in secrets (SDS), and the chain of each server name in the listener's matcher. A host that is
added to an application changes its route table, its certificate and the matcher, and ends no connection (docs/design/0048).
A connection with a name that the matcher does not have, without a name, or without TLS selects no chain and is closed.

Not here: the content of a chain (`door_compiler` and the kinds of doors).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doorward.enforcement.envoy.challenges import add_challenges, build_challenge_chains
from doorward.enforcement.envoy.door_compiler import Resource
from doorward.enforcement.envoy.extension import build_extension, build_typed, render_duration
from doorward.enforcement.envoy.logs import build_handshake_log
from doorward.enforcement.envoy.names import LISTENER
from doorward.enforcement.envoy.tcp_door import build_protocol_refusal
from doorward.enforcement.plan import GatewayPlan, SocketAddress, TcpDoor

BACKLOG = 512
"""Connections that wait in the kernel to be accepted: at 3,000 handshakes a second they wait less than 0.2 s."""

ACCEPTS_AT_ONCE = 4
"""Envoy accepts so many and then goes on with its handshakes; by default it accepts all that wait (docs/design/0106)."""


def build_listener_frame(plan: GatewayPlan, matches: Mapping[str, Resource]) -> Resource:
    """Return the one listener of a plan without the chains of its doors; `matches` are the matchers of all doors."""
    first, *others = (_address(one) for one in plan.listen)
    refusal = [build_protocol_refusal(plan)] if any(isinstance(one, TcpDoor) for one in plan.doors) else []
    return build_typed(
        "config.listener.v3.Listener",
        name=LISTENER,
        address=first,
        additional_addresses=[{"address": one} for one in others],
        # The default shares the port silently with any other process of this user (measured).
        enable_reuse_port=False,
        tcp_backlog_size=BACKLOG,
        max_connections_to_accept_per_socket_event=ACCEPTS_AT_ONCE,
        per_connection_buffer_limit_bytes=plan.limits.buffer_bytes,
        listener_filters_timeout=render_duration(plan.limits.hello),
        continue_on_listener_filters_timeout=False,
        listener_filters=[
            build_extension(
                "envoy.filters.listener.tls_inspector",
                "extensions.filters.listener.tls_inspector.v3.TlsInspector",
            )
        ],
        access_log=[build_handshake_log(plan.paths.log_file)],
        filter_chain_matcher=_by_server_name(add_challenges(plan, matches)),
        filter_chains=[*refusal, *build_challenge_chains(plan)],
    )


def _by_server_name(matches: Mapping[str, Resource]) -> Resource:
    """Return the matcher from server names to chains; Envoy has names in lower case (RFC 6066 section 3)."""
    return {
        "matcher_tree": {
            "input": build_extension(
                "doorward.server-name", "extensions.matching.common_inputs.network.v3.ServerNameInput"
            ),
            "exact_match_map": {"map": dict(sorted(matches.items()))},
        }
    }


def _address(where: SocketAddress) -> dict[str, Any]:
    address: dict[str, Any] = {"address": where.host, "port_value": where.port}
    if where.host == "::":
        address["ipv4_compat"] = True  # `::` also listens on IPv4
    return {"socket_address": address}
