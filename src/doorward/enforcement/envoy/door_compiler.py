"""The parts of Envoy's configuration that every kind of door has, and the filters that their chains share.

Order in a chain of an application: TLS; connection limit; the authorizer's one answer; its copy into connection filter
state; then the filters of the kind. Never QUIC: with QUIC, Envoy does not ask the authorizer for each connection, and there
is no socket to cut (measured: 0 calls, open routes answered).

Not here: the kinds themselves (`http_door`, `tcp_door`, `portal_door`, `open_door`), and all doors together (`assembly`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from doorward.enforcement.envoy.extension import build_extension, render_duration
from doorward.enforcement.envoy.names import (
    AUTHORIZER_CLUSTER,
    EPOCH_VARIABLE,
    METADATA_NAMESPACE,
    AuthorizerMetadata,
    ConnectionFact,
)
from doorward.enforcement.plan import GatewayPlan

ANSWER_BYTES = 65_536
"""The longest answer of the authorizer: grants are at most 4 KiB, certificates of people under 8 KiB."""

Resource = dict[str, Any]


class DoorCompiler(Protocol):
    """One door as parts of Envoy's configuration."""

    def chain(self) -> Resource:
        """Return its filter chain; a change of the chain ends its connections."""
        ...

    def chain_matches(self) -> Mapping[str, Resource]:
        """Return, for each server name, the listener's matcher that selects a chain."""
        ...

    def cluster(self) -> Resource:
        """Return the cluster of its upstream."""
        ...

    def table(self) -> Resource | None:
        """Return its route table, None if it has none."""
        ...

    def extension(self) -> Resource | None:
        """Return the network filter that is a resource of its own, None if there is none."""
        ...

    def closed(self) -> Resource:
        """Return what takes the place of its table, or of its rules, while it is closed: nothing passes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorParts:
    """What one door is in Envoy's configuration.

    `matches` are the listener's matchers by server name. `secrets` are its server certificate and, if it has a trust of its
    own, the authorities. `closed` takes the place of the table, or of the rules of a TCP door, while the door is closed.
    """

    chain: Resource
    matches: Mapping[str, Resource]
    secrets: tuple[Resource, ...]
    cluster: Resource
    table: Resource | None
    extension: Resource | None
    closed: Resource


def build_chain(name: str, socket: Resource | None, filters: list[Resource], patience: timedelta) -> Resource:
    """Return a filter chain; `patience` is the longest time of a handshake."""
    chain: Resource = {"name": name}
    if socket is not None:
        chain["transport_socket"] = socket
    return {
        **chain,
        "transport_socket_connect_timeout": render_duration(patience),
        "filters": filters,
    }


def select_chain(chain: str) -> Resource:
    """Return the action of a matcher that selects a chain by name."""
    name = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": chain}
    return {"action": {"name": "doorward.chain", "typed_config": name}}


def build_connection_limit(name: str, most: int) -> Resource:
    """Return the filter that closes connections beyond a number."""
    return build_extension(
        "doorward.connections",
        "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix=name,
        max_connections=most,
        delay="0s",
    )


def build_judgement(
    application_id: str,
    plan: GatewayPlan,
    facts: Iterable[ConnectionFact] = ConnectionFact,
    *,
    without_authorizer: bool = False,
) -> list[Resource]:
    """Return the filters that ask the authorizer and copy its answer into filter state, where native matchers read it.

    Args:
        application_id: a constant of the chain, never from SNI.
        plan: the gateway's plan.
        facts: the facts that are copied.
        without_authorizer: whether a connection goes on if the authorizer does not answer. Then all its facts are unknown,
            and the door answers with a fixed refusal.
    """
    return [_authorizer(application_id, plan, goes_on=without_authorizer), _facts(facts)]


def _authorizer(application_id: str, plan: GatewayPlan, *, goes_on: bool) -> Resource:
    asked = {  # what is the same in most calls comes first: the server reads it at once (`http2.header_blocks`)
        AuthorizerMetadata.APPLICATION: application_id,
        AuthorizerMetadata.EPOCH: f"%ENVIRONMENT({EPOCH_VARIABLE})%",
        AuthorizerMetadata.LOCAL: "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
        AuthorizerMetadata.CONNECTION: "%CONNECTION_ID%",
        AuthorizerMetadata.REMOTE: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    }
    return build_extension(
        "doorward.authorizer",
        "extensions.filters.network.ext_authz.v3.ExtAuthz",
        stat_prefix="authorizer",
        transport_api_version="V3",
        include_peer_certificate=True,
        failure_mode_allow=goes_on,
        send_tls_alert_on_denial=True,
        grpc_service={
            "envoy_grpc": {
                "cluster_name": AUTHORIZER_CLUSTER,
                "max_receive_message_length": ANSWER_BYTES,
                "skip_envoy_headers": True,  # x-envoy-internal, x-forwarded-for: nothing reads them
            },
            "timeout": render_duration(plan.limits.authorizer),
            "initial_metadata": [{"key": key.value, "value": value} for key, value in asked.items()],
        },
    )


def _facts(facts: Iterable[ConnectionFact]) -> Resource:
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
            for fact in facts
        ],
    )
