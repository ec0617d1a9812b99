"""The listener and its chains: order, limits, and the one question."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from doorward.enforcement.envoy.bootstrap import build_base
from doorward.enforcement.envoy.names import JUDGED, AuthorizerMetadata, ConnectionFact
from doorward.enforcement.plan import GatewayLimits, SocketAddress
from doorward.gateway.connections.registry import ConnectionRegistry
from tests.support.resources import build_resources
from tests.unit.enforcement.plans import PATHS, every, small_plan

LISTENER = build_resources(small_plan()).listeners[0]
CHAINS = {one["name"]: one for one in LISTENER["filter_chains"]}


def config_of(chain: str, position: int) -> dict[str, Any]:
    """The configuration of one filter of a chain."""
    found: dict[str, Any] = CHAINS[chain]["filters"][position]["typed_config"]
    return found


def test_chains_are_chosen_by_name_over_tls_only() -> None:
    """There is no chain for an unknown name, and none for plain text."""
    assert set(CHAINS) == {"app_pay", "app_web", "doorward_enrol"}
    assert all("transport_socket" in one for one in CHAINS.values())
    matcher = LISTENER["filter_chain_matcher"]
    assert set(matcher) == {"matcher_tree"}  # what it does not know leads nowhere
    led = matcher["matcher_tree"]["exact_match_map"]["map"]
    found = {name: one["action"]["typed_config"]["value"] for name, one in led.items()}
    assert found == {"pay.test": "app_pay", "web.test": "app_web", "enroll.test": "doorward_enrol"}
    assert "default_filter_chain" not in LISTENER


def test_a_host_more_changes_no_chain() -> None:
    """A chain that changes ends its connections after the drain: names are in the matcher, the rest by reference."""
    first, *others = small_plan().doors
    certificate = replace(first.certificate, hosts=(*first.hosts, "more.test"))
    more = replace(first, hosts=(*first.hosts, "more.test"), certificate=certificate)
    before = build_resources(small_plan()).listeners[0]
    after = build_resources(replace(small_plan(), doors=(more, *others))).listeners[0]
    assert after["filter_chains"] == before["filter_chains"]
    assert after != before


def test_the_order_of_a_protected_chain() -> None:
    """Limit, question, copy, HTTP: nothing is read as HTTP before the answer."""
    names = [one["name"] for one in CHAINS["app_pay"]["filters"]]
    assert names == ["doorward.connections", "doorward.authorizer", "doorward.facts", "doorward.http"]
    assert [one["name"] for one in CHAINS["doorward_enrol"]["filters"]] == [
        "doorward.connections",
        "doorward.http",
    ]


def test_the_authorizer_fails_closed() -> None:
    """No answer is a refusal, with the alert that says so, within a stated time."""
    config = config_of("app_pay", 1)
    assert config["failure_mode_allow"] is False
    assert config["send_tls_alert_on_denial"] is True
    assert config["include_peer_certificate"] is True
    assert config["grpc_service"]["timeout"] == "5s"
    assert config["grpc_service"]["envoy_grpc"]["max_receive_message_length"] == 65536


def test_the_application_is_a_constant_of_its_chain() -> None:
    """It comes neither from SNI nor from a header, so no client can name another one."""
    for chain in ("app_pay", "app_web"):
        sent = {one["key"]: one["value"] for one in config_of(chain, 1)["grpc_service"]["initial_metadata"]}
        assert sent[AuthorizerMetadata.APPLICATION.value] == chain
        assert set(sent) == {one.value for one in AuthorizerMetadata}
        assert sent[AuthorizerMetadata.EPOCH.value] == "%ENVIRONMENT(DOORWARD_EPOCH)%"
        assert sent[AuthorizerMetadata.REMOTE.value] == "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"


def test_every_fact_is_copied_under_its_key() -> None:
    """Native matchers read filter state, which no client can write."""
    copied = {
        one["object_key"]: one["format_string"]["text_format_source"]["inline_string"]
        for one in config_of("app_pay", 2)["on_downstream_data"]
    }
    assert copied == {
        fact.state_key: f"%DYNAMIC_METADATA(envoy.filters.network.ext_authz:{fact.value})%"
        for fact in ConnectionFact
    }
    assert JUDGED == "1"


def test_limits_are_stated() -> None:
    """Buffers before a decision, connections, handshakes: nothing is left to a default."""
    assert LISTENER["enable_reuse_port"] is False


def test_a_stampede_waits_in_the_kernel_and_not_in_envoy() -> None:
    """Both are bounded: how many Envoy accepts at once, and how many wait to be accepted."""
    assert LISTENER["max_connections_to_accept_per_socket_event"] == 4
    assert LISTENER["tcp_backlog_size"] == 512
    assert LISTENER["per_connection_buffer_limit_bytes"] == 32768
    assert LISTENER["listener_filters_timeout"] == "5s"
    assert LISTENER["continue_on_listener_filters_timeout"] is False
    # A person looks for a smart card and types its PIN; a door that asks for no certificate need not wait.
    assert {name: one["transport_socket_connect_timeout"] for name, one in CHAINS.items()} == {
        "app_pay": "60s",
        "app_web": "60s",
        "doorward_enrol": "5s",
    }
    limits = small_plan().limits
    assert config_of("app_pay", 0)["max_connections"] == limits.connections_per_door
    assert config_of("doorward_enrol", 0)["max_connections"] == limits.enrol_connections


def test_the_doors_bounds_are_one_set_of_figures() -> None:
    """The stampede of 50,000 clients fits one application; Envoy and the registry count by one figure, if there are enough files."""
    assert GatewayLimits().connections_per_door >= 50_000
    assert GatewayLimits(connections=101).connections_per_door == 50
    assert GatewayLimits(connections=1).connections_per_door == 1
    assert GatewayLimits().undecided_per_source * 20 <= GatewayLimits().enrol_connections
    assert GatewayLimits(connections=500, connections_per_source=499).undecided_per_source == 100
    assert GatewayLimits(connections=500, connections_per_source=500).undecided_per_source == 500
    monitor, heap = build_base(PATHS, GatewayLimits(connections=101))["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] == 101
    few, _ = build_base(PATHS, GatewayLimits(open_files=300))["overload_manager"]["resource_monitors"]
    assert few["typed_config"]["max_active_downstream_connections"] == 150
    assert heap["typed_config"]["max_heap_size_bytes"] == GatewayLimits().heap_bytes
    registry = ConnectionRegistry()
    assert (registry._max_total, registry._max_per_source) == (
        GatewayLimits().connections,
        GatewayLimits().connections_per_source,
    )


def test_further_addresses_share_the_chains() -> None:
    """A gateway may listen on several addresses; they are one listener."""
    two = (SocketAddress(host="127.0.0.1", port=8443), SocketAddress(host="::1", port=8443))
    listener = build_resources(small_plan(listen=two)).listeners[0]
    assert listener["additional_addresses"] == [
        {"address": {"socket_address": {"address": "::1", "port_value": 8443}}}
    ]
    assert LISTENER["additional_addresses"] == []


def test_every_address_means_both_families() -> None:
    """`[::]` takes IPv4 clients as well, as administrators expect."""
    listener = build_resources(small_plan(listen=(SocketAddress(host="::", port=8443),))).listeners[0]
    assert listener["address"]["socket_address"]["ipv4_compat"] is True
    assert "ipv4_compat" not in LISTENER["address"]["socket_address"]


def test_nothing_fails_open() -> None:
    """No filter of any chain has a switch that lets through on failure."""
    assert not any(every(LISTENER, "failure_mode_allow"))
