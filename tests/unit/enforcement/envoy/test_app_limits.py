"""Times and sizes that an application's document asks for, in its connection manager and its cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from doorward.enforcement.envoy.http import build_http
from doorward.enforcement.plan import GatewayLimits
from doorward.policy.app_limits import AppLimits
from tests.support.resources import build_resources
from tests.unit.enforcement.plans import PATHS, door, door_rule, every, small_plan

LARGE = AppLimits(idle=timedelta(hours=2), headers=1_000, header_kilobytes=200)


def test_sizes_hold_for_requests_and_answers() -> None:
    """The door refuses a larger request with 431 and takes no larger answer; a single HTTP/2 field may be as large."""
    usual, large = door(door_rule("g")), replace(door(door_rule("g")), app_limits=LARGE)
    for one, headers, kilobytes in ((usual, 512, 64), (large, 1_000, 200)):
        config = build_http(one, PATHS, GatewayLimits())["typed_config"]
        assert config["max_request_headers_kb"] == kilobytes
        assert config["common_http_protocol_options"]["max_headers_count"] == headers
        assert config["http2_protocol_options"].get("max_header_field_size_kb", 64) == kilobytes
        (cluster,) = build_resources(small_plan(doors=(one,), open_doors=())).clusters
        assert list(every(cluster, "max_headers_count")) == [headers]
        assert list(every(cluster, "max_response_headers_kb")) == [kilobytes]


def test_silence_changes_no_connection() -> None:
    """It stands in routes alone: neither the connection manager nor the cluster differ."""
    usual = door(door_rule("g"))
    quiet = replace(usual, app_limits=AppLimits(idle=timedelta(hours=2)))
    assert build_http(usual, PATHS, GatewayLimits()) == build_http(quiet, PATHS, GatewayLimits())
    assert (
        build_resources(small_plan(doors=(usual,))).clusters
        == build_resources(small_plan(doors=(quiet,))).clusters
    )
