"""The HTTP connection managers: strict parsing, one meaning per path, explicit limits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from doorward.enforcement.envoy.headers import build_early_mutations, build_route_headers
from doorward.enforcement.envoy.http import build_http, build_open_http
from doorward.enforcement.envoy.logs import build_handshake_log, build_open_log, build_request_log
from doorward.enforcement.envoy.names import (
    BOUND_FILTER,
    IDENTITY_HEADERS,
    OWNER_FILTER,
    SESSION_FILTER,
    STEP_UP_FILTER,
    ConnectionFact,
)
from doorward.enforcement.envoy.replies import build_local_replies
from doorward.enforcement.envoy.reply_cases import CONDITION_CASES, STATUS_CASES
from doorward.enforcement.plan import GatewayLimits
from doorward.policy.model import HttpUpstream, Scheme
from tests.unit.enforcement.plans import OPEN_DOOR, PATHS, SESSIONS, UPSTREAM, door

HTTP: dict[str, Any] = build_http(door(), PATHS, GatewayLimits())["typed_config"]
ENROL: dict[str, Any] = build_open_http(OPEN_DOOR, PATHS, GatewayLimits())["typed_config"]


@pytest.mark.parametrize("config", [HTTP, ENROL])
def test_what_both_managers_have(config: dict[str, Any]) -> None:
    """Each of these closes a hole that was seen open."""
    assert config["normalize_path"] is True
    assert config["merge_slashes"] is True
    assert config["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert config["use_remote_address"] is True
    assert config["internal_address_config"]["cidr_ranges"][0]["prefix_len"] == 32
    assert config["forward_client_cert_details"] == "SANITIZE"
    assert config["preserve_external_request_id"] is False
    assert config["server_header_transformation"] == "PASS_THROUGH"
    assert config["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert config["stream_error_on_invalid_http_message"] is False
    assert config["http2_protocol_options"]["override_stream_error_on_invalid_http_message"] is False
    http1 = config["http_protocol_options"]
    assert (http1["accept_http_10"], http1["allow_chunked_length"]) == (False, False)
    assert http1["allow_custom_methods"] is True
    assert config["strip_trailing_host_dot"] is True
    assert config["http_filters"][-1]["typed_config"]["suppress_envoy_headers"] is True


@pytest.mark.parametrize("config", [HTTP, ENROL])
def test_every_time_and_size_is_stated(config: dict[str, Any]) -> None:
    """No limit is left to a default that a new Envoy could change."""
    for name in ("request_headers_timeout", "request_timeout", "stream_idle_timeout", "drain_timeout"):
        assert config[name].endswith("s")
    assert config["delayed_close_timeout"] == "1s"
    assert config["max_request_headers_kb"] == (32 if config is ENROL else 64)
    common = config["common_http_protocol_options"]
    assert common["max_headers_count"] == (100 if config is ENROL else 512)
    assert {"idle_timeout", "max_connection_duration"} <= set(common)
    assert config["http2_protocol_options"]["max_concurrent_streams"] == 64


def test_the_rules_stand_before_the_router() -> None:
    """The order: rate, owner, deny, allow, cookies, trailers, router; WebSocket is the only upgrade."""
    assert [one["name"] for one in HTTP["http_filters"]] == [
        "doorward.rate",
        "doorward.owner",
        "doorward.deny",
        "doorward.allow",
        "doorward.cookies",
        "doorward.cookie-field",
        "doorward.trailers",
        "envoy.filters.http.router",
    ]
    assert HTTP["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert "upgrade_configs" not in ENROL


def test_only_filters_that_allow_more_wait_for_a_route() -> None:
    """A route that lost its configuration is not open: limits, rules and the removal of cookies run on every route."""
    config = build_http(door(), PATHS, GatewayLimits(), SESSIONS)["typed_config"]
    waiting = {one["name"] for one in config["http_filters"] if one.get("disabled")}
    assert waiting == {OWNER_FILTER, SESSION_FILTER, BOUND_FILTER, STEP_UP_FILTER}


def test_the_scheme_of_an_upstream_changes_no_filter() -> None:
    """Otherwise a connection from before the change would go to an HTTP/2 upstream without the removal of trailers."""
    filters = [
        build_http(
            replace(door(), upstream=HttpUpstream(host="127.0.0.1", port=1, scheme=scheme)),
            PATHS,
            GatewayLimits(),
        )["typed_config"]["http_filters"]
        for scheme in (Scheme.HTTP, Scheme.H2C)
    ]
    assert filters[0] == filters[1]


def test_enrolment_connections_are_short_and_bodies_small() -> None:
    """Envoy cuts one second after the drain time: together eight, before the reconciler's ten."""
    common = ENROL["common_http_protocol_options"]
    assert common["max_connection_duration"] == "6s"
    assert ENROL["drain_timeout"] == "1s"
    assert ENROL["request_timeout"] == "6s"
    assert ENROL["http_filters"][0]["typed_config"]["max_request_bytes"] == 32768


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("client-cert", True),
        ("client-cert-chain", True),
        ("doorward-principal", True),
        ("doorward-whatever", True),
        ("x-forwarded-for", True),
        ("x-forwarded-client-cert", True),
        ("x-envoy-original-path", True),
        ("x-http-method-override", True),
        ("x-request-id", True),
        ("forwarded", True),
        ("accept", False),
        ("authorization", False),
        ("cookie", False),
        ("x-client-certificate-hint", False),
        ("forwarded-else", False),
    ],
)
def test_claims_are_removed_before_anything_else(name: str, removed: bool) -> None:  # noqa: FBT001
    """Exactly the names with which a client could lie, whole names only."""
    mutation, _ = build_early_mutations()
    (one,) = mutation["typed_config"]["mutations"]
    regex = one["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
    assert (re.fullmatch(regex, name) is not None) is removed


def test_identity_headers_come_from_facts_and_are_removed_first() -> None:
    """An empty value is not set: without the removal a client's own header would pass."""
    headers = build_route_headers()
    assert set(IDENTITY_HEADERS) < set(headers["request_headers_to_remove"])
    added = {one["header"]["key"]: one for one in headers["request_headers_to_add"]}
    assert set(added) == {"client-cert", "doorward-principal", "doorward-certificate", "doorward-assertion"}
    for name, one in added.items():
        assert one["header"]["value"] == f"%FILTER_STATE({IDENTITY_HEADERS[name].state_key}:PLAIN)%"
        assert one["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_refusals_are_short_plain_and_name_no_rule() -> None:
    """One text and one JSON form for each status, and a fallback."""
    replies = build_local_replies("pay")
    assert len(replies["mappers"]) == 2 * (len(CONDITION_CASES) + len(STATUS_CASES)) + 1
    text = str([one["body_format_override"] for one in replies["mappers"]])
    assert "pay" in text
    first = replies["mappers"][0]  # RFC 9110 section 15.3.5: 204 has no content
    assert first["body_format_override"] == {"text_format_source": {"inline_string": ""}}
    for word in ("LOCAL_REPLY_BODY", "RESPONSE_CODE_DETAILS", "rbac", "METADATA", "FILTER_STATE"):
        assert word not in text


def test_a_percent_sign_in_a_name_is_no_command() -> None:
    """Names are text, not format strings."""
    body = build_local_replies("%REQ(COOKIE)%")["body_format"]["text_format_source"]["inline_string"]
    assert "%%REQ(COOKIE)%%" in body


def test_logs_hold_no_query_no_token_and_no_header() -> None:
    """Text that is not logged cannot leak."""
    for log in (
        build_request_log("/l", "app_pay", UPSTREAM),
        build_open_log("/l", "doorward_enrol"),
        build_handshake_log("/l"),
    ):
        text = str(log)
        assert "REQ(:PATH)" not in text
        assert "COOKIE" not in text.upper()
        assert "AUTHORIZATION" not in text
        assert ConnectionFact.ASSERTION.state_key not in text
        assert ConnectionFact.CLIENT_CERT.state_key not in text
    assert "PATH" not in str(build_open_log("/l", "doorward_enrol")["typed_config"]["log_format"])


def test_identity_in_the_handshake_log_is_claimed() -> None:
    """Facts of an unverified certificate have names that begin with `claimed_`."""
    fields = build_handshake_log("/l")["typed_config"]["log_format"]["json_format"]
    for name, value in fields.items():
        if "PEER" in value:
            assert name.startswith("claimed_")


def test_all_logs_share_one_file() -> None:
    """The order of lines is the order of happening."""
    for log in (HTTP["access_log"][0], ENROL["access_log"][0], build_handshake_log(PATHS.log_file)):
        assert log["typed_config"]["path"] == PATHS.log_file
