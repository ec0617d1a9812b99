"""The listener: one filter chain an application, chosen by SNI; unknown names are closed.

A chain is the unit of disruption: changing one drains its connections. So all that changes often
is elsewhere: rules in route tables (RDS), certificates and anchors in secrets (SDS), and which name leads
to which chain in the listener's matcher. A host that is added to an application changes its route table,
its certificate and the matcher, and ends no connection (docs/design/0048). A name that the matcher does
not have, and a connection without TLS or without a name, leads to no chain and is closed.

Order in a chain: TLS; connection limit; the authorizer's one answer; its copy into connection
filter state; HTTP. Never QUIC: over it Envoy does not ask per connection, and there is no socket
to cut (measured: 0 calls, open routes answered).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed, render_duration
from doorward.enforcement.envoy.http import build_enrol_http, build_http
from doorward.enforcement.envoy.logs import build_handshake_log
from doorward.enforcement.envoy.names import (
    AUTHORIZER_CLUSTER,
    ENROL_CHAIN,
    LISTENER,
    METADATA_NAMESPACE,
    Asked,
    Fact,
)
from doorward.enforcement.envoy.tls import build_client_tls, build_open_tls
from doorward.enforcement.plan import Door, EnrolmentDoor, GatewayPlan, SocketAddress

ANSWER_BYTES = 65_536
"""The longest answer of the authorizer: grants are at most 4 KiB, certificates of people under 8 KiB."""


def build_listener(plan: GatewayPlan) -> dict[str, Any]:
    """Return the one listener of a plan."""
    chains = [_door_chain(plan, door) for door in plan.doors]
    if plan.enrol:
        chains.append(_enrol_chain(plan, plan.enrol))
    first, *others = (_address(one) for one in plan.listen)
    return build_typed(
        "config.listener.v3.Listener",
        name=LISTENER,
        address=first,
        additional_addresses=[{"address": one} for one in others],
        # The default shares the port silently with any other process of this user (measured).
        enable_reuse_port=False,
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
        filter_chain_matcher=_by_server_name(plan),
        filter_chains=chains,
    )


def _door_chain(plan: GatewayPlan, door: Door) -> dict[str, Any]:
    filters = [
        _connection_limit(door.id, plan.limits.connections_per_door),
        _authorizer(door.id, plan),
        _facts(),
        build_http(door, plan.paths, plan.limits),
    ]
    socket = build_client_tls(plan.paths, door)
    return _chain(door.id, socket, filters, plan.limits.handshake)


def _enrol_chain(plan: GatewayPlan, door: EnrolmentDoor) -> dict[str, Any]:
    filters = [
        _connection_limit(ENROL_CHAIN, plan.limits.enrol_connections),
        build_enrol_http(plan.paths, plan.limits),
    ]
    return _chain(
        ENROL_CHAIN, build_open_tls(plan.paths, door.certificate), filters, plan.limits.open_handshake
    )


def _by_server_name(plan: GatewayPlan) -> dict[str, Any]:
    """Return which server name leads to which chain; Envoy gives names in lower case (RFC 6066 section 3)."""
    chains = {host: door.id for door in plan.doors for host in door.hosts}
    if plan.enrol:
        chains[plan.enrol.host] = ENROL_CHAIN
    return {
        "matcher_tree": {
            "input": build_extension(
                "doorward.server-name", "extensions.matching.common_inputs.network.v3.ServerNameInput"
            ),
            "exact_match_map": {"map": {host: _lead_to(name) for host, name in sorted(chains.items())}},
        }
    }


def _lead_to(chain: str) -> dict[str, Any]:
    name = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": chain}
    return {"action": {"name": "doorward.chain", "typed_config": name}}


def _chain(
    name: str, socket: dict[str, Any], filters: list[dict[str, Any]], patience: timedelta
) -> dict[str, Any]:
    return {
        "name": name,
        "transport_socket": socket,
        "transport_socket_connect_timeout": render_duration(patience),
        "filters": filters,
    }


def _connection_limit(name: str, most: int) -> dict[str, Any]:
    return build_extension(
        "doorward.connections",
        "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix=name,
        max_connections=most,
        delay="0s",
    )


def _authorizer(application_id: str, plan: GatewayPlan) -> dict[str, Any]:
    asked = {
        Asked.APPLICATION: application_id,
        Asked.CONNECTION: "%CONNECTION_ID%",
        Asked.REMOTE: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
        Asked.LOCAL: "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
        Asked.EPOCH: str(plan.epoch),
        Asked.CHAIN: "%DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256%",
    }
    return build_extension(
        "doorward.authorizer",
        "extensions.filters.network.ext_authz.v3.ExtAuthz",
        stat_prefix="authorizer",
        transport_api_version="V3",
        include_peer_certificate=True,
        failure_mode_allow=False,
        send_tls_alert_on_denial=True,
        grpc_service={
            "envoy_grpc": {"cluster_name": AUTHORIZER_CLUSTER, "max_receive_message_length": ANSWER_BYTES},
            "timeout": render_duration(plan.limits.authorizer),
            "initial_metadata": [{"key": key.value, "value": value} for key, value in asked.items()],
        },
    )


def _facts() -> dict[str, Any]:
    """Return the copy of the authorizer's metadata into filter state, where native matchers read it."""
    return build_extension(
        "doorward.facts",
        "extensions.filters.network.set_filter_state.v3.Config",
        on_downstream_data=[
            {
                "object_key": fact.state_key,
                "factory_key": "envoy.string",
                "format_string": {
                    "text_format_source": {
                        "inline_string": f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{fact.value})%"
                    }
                },
            }
            for fact in Fact
        ],
    )


def _address(where: SocketAddress) -> dict[str, Any]:
    address: dict[str, Any] = {"address": where.host, "port_value": where.port}
    if where.host == "::":
        address["ipv4_compat"] = True  # every address means IPv4 too
    return {"socket_address": address}
