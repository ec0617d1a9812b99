"""The compiled door of a TCP application: the order of refusals, and the resources that a rule edit changes."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from doorward.enforcement.envoy.names import FOREIGN_PROTOCOL_CHAIN, JUDGED, ConnectionFact
from doorward.enforcement.plan import GatewayPlan
from doorward.policy.app_limits import AppLimits
from doorward.policy.model import Effect, TcpUpstream
from tests.support.resources import build_resources
from tests.unit.enforcement.plans import door, door_rule, small_plan, tcp_door


def plan_of(**changed: Any) -> GatewayPlan:
    """One TCP application."""
    return small_plan(doors=(tcp_door(**changed),), open_doors=())


LISTENER = build_resources(plan_of()).listeners[0]
CHAINS = {one["name"]: one for one in LISTENER["filter_chains"]}
PROXY = CHAINS["app_mqtt"]["filters"][-1]["typed_config"]


def test_the_judgement_comes_before_everything() -> None:
    """Limit, question, copy, rules, and only then bytes."""
    names = [one["name"] for one in CHAINS["app_mqtt"]["filters"]]
    assert names == [
        "doorward.connections",
        "doorward.authorizer",
        "doorward.facts",
        "app_mqtt",
        "doorward.tcp",
    ]


def test_nothing_is_connected_to_before_the_first_byte_was_judged() -> None:
    """A server that sends first would greet everybody; the buffer before the connection is small."""
    assert PROXY["upstream_connect_mode"] == "ON_DOWNSTREAM_DATA"
    assert PROXY["max_early_data_bytes"] == 32_768


def test_every_limit_is_written_out() -> None:
    """None is left to a default of Envoy's, which has none for time."""
    assert PROXY["idle_timeout"] == "3600s"
    assert PROXY["max_downstream_connection_duration"] == "43200s"
    assert PROXY["max_connect_attempts"] == 1
    quiet = build_resources(plan_of(app_limits=AppLimits(idle=AppLimits().idle * 2))).listeners[0]
    proxy = quiet["filter_chains"][0]["filters"][-1]["typed_config"]
    assert proxy["idle_timeout"] == "7200s"


def test_the_rules_are_not_in_the_chain() -> None:
    """An edited rule ends no connection: it is published by itself, and Envoy starts with nothing in its place."""
    discovery = CHAINS["app_mqtt"]["filters"][3]["config_discovery"]
    assert discovery["config_source"]["ads"] == {}
    assert "default_config" not in discovery
    edited = plan_of(rules=(door_rule("gother"),))
    assert build_resources(edited).listeners[0] == LISTENER
    assert build_resources(edited).extensions != build_resources(plan_of()).extensions


def rules_of(**changed: Any) -> dict[str, Any]:
    """The policies of the network filter."""
    (extension,) = build_resources(plan_of(**changed)).extensions.values()
    assert extension["typed_config"]["rules"]["action"] == "ALLOW"
    policies: dict[str, Any] = extension["typed_config"]["rules"]["policies"]
    return policies


def _holds(matcher: dict[str, Any], state: dict[str, str]) -> bool:
    ((word, value),) = matcher.items()
    if word == "and_ids":
        return all(_holds(one, state) for one in value["ids"])
    if word == "or_ids":
        return any(_holds(one, state) for one in value["ids"])
    assert word == "filter_state"
    ((how, text),) = value["string_match"].items()
    held = state.get(value["key"])
    return held is not None and (held == text if how == "exact" else text in held)


@pytest.mark.parametrize(
    ("judged", "grants", "passes"),
    [
        (JUDGED, ",gsensor,clost,", True),
        (JUDGED, ",gsensor,told,", True),
        (JUDGED, ",gsensor,", False),
        (JUDGED, ",clost,", False),
        (JUDGED, ",", False),
        ("0", ",gsensor,clost,", False),
        ("-", "-", False),
        (JUDGED, ",xgsensor,clost,", False),
        (None, None, False),
    ],
)
def test_a_grant_and_every_clearance_are_needed(
    judged: str | None, grants: str | None, *, passes: bool
) -> None:
    """Only positive evidence: an id that is not held, or a fact that is missing, refuses the connection."""
    state = {ConnectionFact.JUDGED.state_key: judged, ConnectionFact.GRANTS.state_key: grants}
    known = {key: value for key, value in state.items() if value is not None}
    (policy,) = rules_of().values()
    assert policy["permissions"] == [{"any": True}]
    assert any(_holds(one, known) for one in policy["principals"]) is passes
    assert "not_id" not in str(policy)


@pytest.mark.parametrize("rules", [(), (door_rule("c", effect=Effect.DENY),)])
def test_without_an_allow_rule_nothing_passes(rules: tuple[Any, ...]) -> None:
    """An RBAC filter that allows and has no policy refuses everything."""
    assert rules_of(rules=rules) == {}


def lead_of(offered: str | None, **changed: Any) -> str:
    """Follow the listener's matcher for a client that offers this, as Envoy writes it."""
    led = build_resources(plan_of(**changed)).listeners[0]["filter_chain_matcher"]["matcher_tree"][
        "exact_match_map"
    ]["map"]
    matcher = led["app.test"]["matcher"]

    def matches(predicate: dict[str, Any]) -> bool:
        ((word, value),) = predicate.items()
        if word == "not_matcher":
            return not matches(value)
        if word == "or_matcher":
            return any(matches(one) for one in value["predicate"])
        regex = value["value_match"]["safe_regex"]["regex"]
        return offered is not None and re.fullmatch(regex, offered) is not None

    (first,) = matcher["matcher_list"]["matchers"]
    end = first["on_match"] if matches(first["predicate"]) else matcher["on_no_match"]
    return str(end["action"]["typed_config"]["value"])


@pytest.mark.parametrize(
    ("offered", "passes"),
    [
        (None, True),
        ("'mqtt'", True),
        ("'x-mqtt','mqtt'", True),
        ("'mqtt','http/1.1'", False),
        ("'http/1.1'", False),
        ("'h2','http/1.1'", False),
        ("'mqtt2'", False),
        ("'xxmqtt'", False),
        ("'mqt'", False),
        ("''", False),
        ("", False),
    ],
)
def test_what_a_client_may_offer(offered: str | None, *, passes: bool) -> None:
    """Listed protocols or nothing: one that is not listed is enough for a refusal."""
    assert lead_of(offered) == ("app_mqtt" if passes else FOREIGN_PROTOCOL_CHAIN)
    if offered is not None:
        assert lead_of(offered, alpn=()) == FOREIGN_PROTOCOL_CHAIN


def test_dots_in_a_protocol_are_dots() -> None:
    """A name is compared as it is, not as an expression."""
    assert lead_of("'radius/1x1'", alpn=("radius/1.1",)) == FOREIGN_PROTOCOL_CHAIN
    assert lead_of("'radius/1.1'", alpn=("radius/1.1",)) == "app_mqtt"


def test_a_foreign_protocol_is_answered_with_its_alert() -> None:
    """RFC 7301 section 3.2: no TLS, no upstream; without a TCP application there is no such chain."""
    chain = CHAINS[FOREIGN_PROTOCOL_CHAIN]
    assert "transport_socket" not in chain
    assert [one["name"] for one in chain["filters"]] == ["doorward.connections", "doorward.protocol"]
    sent = base64.b64decode(chain["filters"][1]["typed_config"]["response"]["inline_bytes"])
    assert sent == bytes((0x15, 3, 1, 0, 2, 2, 120))
    web = build_resources(small_plan(doors=(door(),))).listeners[0]
    assert FOREIGN_PROTOCOL_CHAIN not in [one["name"] for one in web["filter_chains"]]


def test_the_handshake_is_that_of_every_door() -> None:
    """A certificate is demanded, nothing is resumed; the application's own protocols are selected."""
    tls = CHAINS["app_mqtt"]["transport_socket"]["typed_config"]
    assert tls["require_client_certificate"] is True
    assert tls["disable_stateless_session_resumption"] is True
    assert tls["common_tls_context"]["alpn_protocols"] == ["mqtt", "x-mqtt"]
    bare = build_resources(plan_of(alpn=())).listeners[0]["filter_chains"][0]["transport_socket"][
        "typed_config"
    ]
    assert "alpn_protocols" not in bare["common_tls_context"]


def test_its_cluster_is_not_called_as_one_of_requests() -> None:
    """If it was HTTP until now, requests on the chain that drains must not arrive here."""
    (cluster,) = build_resources(plan_of()).clusters
    assert cluster["name"] == PROXY["cluster"] == "app_mqtt_tcp"
    assert "typed_extension_protocol_options" not in cluster
    assert build_resources(plan_of()).routes == {}
    (socket,) = build_resources(plan_of(upstream=TcpUpstream(path="/run/a.sock"))).clusters
    (endpoint,) = socket["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"] == {"pipe": {"path": "/run/a.sock"}}
    (shut,) = build_resources(plan_of(is_shut=True)).clusters
    assert shut["load_assignment"]["endpoints"] == []


def test_only_what_rules_and_log_read_is_kept() -> None:
    """A certificate and an assertion in each idle connection would be memory for nothing."""
    kept = [
        one["object_key"] for one in CHAINS["app_mqtt"]["filters"][2]["typed_config"]["on_downstream_data"]
    ]
    assert kept == [
        "doorward.judged",
        "doorward.grants",
        "doorward.principal_id",
        "doorward.certificate",
        "doorward.decision",
    ]


def test_a_rule_of_tcp_is_about_whole_connections() -> None:
    """The plan refuses a rule that would be wider than it says."""
    with pytest.raises(ValueError, match="whole connections"):
        tcp_door(rules=(door_rule("g", "/a"),))
