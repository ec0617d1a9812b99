"""Clusters: where requests go, by address, by name, by socket."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.enforcement.envoy.clusters import build_authorizer, build_clusters, build_upstream
from doorward.enforcement.envoy.extension import render_duration
from doorward.enforcement.plan import Limits
from doorward.policy.model import HttpUpstream, UnixUpstream
from tests.unit.enforcement.plans import PATHS, every, small_plan

LIMITS = Limits()


@pytest.mark.parametrize("host", ["127.0.0.1", "2001:db8::1"])
def test_an_address_is_static(host: str) -> None:
    """Nothing is looked up for an address."""
    cluster = build_upstream("app_a", HttpUpstream(host=host, port=81), LIMITS)
    assert cluster["type"] == "STATIC"
    assert list(every(cluster, "socket_address")) == [{"address": host, "port_value": 81}]


def test_a_name_is_looked_up_again_and_again() -> None:
    """All addresses of a name are used, and a move is noticed."""
    cluster = build_upstream("app_a", HttpUpstream(host="up.internal", port=81), LIMITS)
    assert "type" not in cluster
    assert cluster["cluster_type"]["name"] == "envoy.cluster.dns"
    assert cluster["cluster_type"]["typed_config"]["dns_refresh_rate"] == "5s"


def test_a_name_is_one_endpoint_and_keeps_nobody_waiting() -> None:
    """RFC 8305: the addresses of one name are tried in turn; and a resolver that is silent holds up no start."""
    cluster = build_upstream("app_a", HttpUpstream(host="localhost", port=81), LIMITS)
    lookup = cluster["cluster_type"]["typed_config"]
    assert lookup["dns_lookup_family"] == "ALL"
    assert lookup["all_addresses_in_single_endpoint"] is True
    assert cluster["wait_for_warm_on_init"] is False


def test_a_socket_is_a_pipe() -> None:
    """The recommended form: nobody else can reach the application."""
    cluster = build_upstream("app_a", UnixUpstream(path="/run/a.sock"), LIMITS)
    assert list(every(cluster, "pipe")) == [{"path": "/run/a.sock"}]


def test_the_authorizer_is_asked_over_its_socket() -> None:
    """GRPC needs HTTP/2; the socket has file permissions."""
    cluster = build_authorizer(PATHS, LIMITS)
    assert list(every(cluster, "pipe")) == [{"path": "/run/dw/authz.sock"}]
    assert list(every(cluster, "explicit_http_config")) == [{"http2_protocol_options": {}}]


def test_clusters_are_sorted_and_bounded() -> None:
    """One an application and one for enrolment, none with Envoy's small default limits."""
    clusters = build_clusters(small_plan())
    assert [one["name"] for one in clusters] == ["app_pay", "app_web", "doorward_enrol"]
    for one in clusters:
        assert one["circuit_breakers"]["thresholds"][0]["max_connections"] == LIMITS.connections
        assert one["connect_timeout"] == "3s"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=5), "5s"),
        (timedelta(milliseconds=50), "0.05s"),
        (timedelta(hours=12), "43200s"),
        (timedelta(microseconds=1), "0.000001s"),
        (timedelta(seconds=10), "10s"),
    ],
)
def test_durations_are_written_as_envoy_reads_them(span: timedelta, text: str) -> None:
    """Seconds with a fraction where there is one."""
    assert render_duration(span) == text
