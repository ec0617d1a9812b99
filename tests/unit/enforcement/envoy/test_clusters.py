"""Clusters: upstreams by address, by name, by socket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.enforcement.envoy.clusters import build_authorizer, build_upstream
from doorward.enforcement.envoy.extension import render_duration
from doorward.enforcement.plan import GatewayLimits
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.model import HttpUpstream, Scheme, UnixUpstream, UpstreamTls
from tests.support.resources import build_resources
from tests.unit.enforcement.plans import PATHS, every, small_plan

LIMITS = GatewayLimits()


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


def test_a_name_is_one_endpoint_and_delays_no_request() -> None:
    """RFC 8305: the addresses of one name are tried in turn; and a resolver that is silent holds up no start."""
    cluster = build_upstream("app_a", HttpUpstream(host="localhost", port=81), LIMITS)
    lookup = cluster["cluster_type"]["typed_config"]
    assert lookup["dns_lookup_family"] == "ALL"
    assert lookup["all_addresses_in_single_endpoint"] is True
    assert cluster["wait_for_warm_on_init"] is False


def test_a_socket_is_a_pipe() -> None:
    """The recommended form: only the door can reach the application."""
    cluster = build_upstream("app_a", UnixUpstream(path="/run/a.sock"), LIMITS)
    assert list(every(cluster, "pipe")) == [{"path": "/run/a.sock"}]


def test_the_authorizer_is_asked_over_its_socket() -> None:
    """GRPC needs HTTP/2; the socket has file permissions."""
    cluster = build_authorizer(PATHS, LIMITS)
    assert list(every(cluster, "pipe")) == [{"path": "/run/dw/authz.sock"}]
    assert list(every(cluster, "explicit_http_config")) == [{"http2_protocol_options": {}}]


@pytest.mark.parametrize(
    ("cluster", "idle"),
    [
        (build_upstream("app_a", UnixUpstream(path="/run/a.sock"), LIMITS), "4s"),
        (build_upstream("app_a", HttpUpstream(host="::1", port=81), LIMITS), "4s"),
        (build_upstream("app_a", HttpUpstream(host="::1", port=81, scheme=Scheme.H2C), LIMITS), "60s"),
        (build_authorizer(PATHS, LIMITS), "60s"),
    ],
)
def test_envoy_closes_a_kept_connection_before_the_server(cluster: dict[str, Any], idle: str) -> None:
    """RFC 9112 section 9.3.1: common servers of HTTP/1.1 close after 5 s; HTTP/2 says what was not read."""
    assert list(every(cluster, "idle_timeout")) == [idle]


def test_clusters_are_sorted_and_bounded() -> None:
    """One an application and one for enrolment, none with Envoy's small default limits."""
    clusters = build_resources(small_plan()).clusters
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
    """Seconds, with a fraction if there is one."""
    assert render_duration(span) == text


HTTPS = HttpUpstream(host="up.internal", port=443, scheme=Scheme.HTTPS, tls=UpstreamTls())
FILES = UpstreamFiles(ca="/k/ca.pem", chain="/k/chain.pem", key="/k/key.pem")


@pytest.mark.parametrize(
    ("host", "server_name", "sni", "matcher"),
    [
        ("up.internal", "", "up.internal", {"san_type": "DNS", "matcher": {"exact": "up.internal"}}),
        ("10.0.0.7", "up.internal", "up.internal", {"san_type": "DNS", "matcher": {"exact": "up.internal"}}),
        ("10.0.0.7", "", None, {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.7"}}),
        ("::1", "", None, {"san_type": "IP_ADDRESS", "matcher": {"exact": "::1"}}),
    ],
)
def test_tls_is_verified_by_authority_and_name(
    host: str, server_name: str, sni: str | None, matcher: dict[str, object]
) -> None:
    """RFC 9525 section 6; RFC 6066 section 3: an address is no server name."""
    upstream = HttpUpstream(
        host=host, port=443, scheme=Scheme.HTTPS, tls=UpstreamTls(server_name=server_name)
    )
    socket = build_upstream("app_a", upstream, LIMITS, FILES)["transport_socket"]["typed_config"]
    validation = socket["common_tls_context"]["validation_context"]
    assert validation["match_typed_subject_alt_names"] == [matcher]
    assert validation["trust_chain_verification"] == "VERIFY_TRUST_CHAIN"
    assert validation["trusted_ca"] == {"filename": "/k/ca.pem"}
    assert socket.get("sni") == sni
    assert socket["common_tls_context"]["tls_certificates"][0]["private_key"] == {"filename": "/k/key.pem"}


def test_a_client_certificate_is_optional() -> None:
    """Without one the door shows none."""
    socket = build_upstream("app_a", HTTPS, LIMITS, UpstreamFiles(ca="/k/ca.pem"))["transport_socket"]
    assert "tls_certificates" not in socket["typed_config"]["common_tls_context"]


@pytest.mark.parametrize(
    "options", [{"is_shut": True}, {"upstream": HTTPS}, {"upstream": HTTPS, "is_shut": True}]
)
def test_what_may_not_be_reached_leads_nowhere(options: dict[str, Any]) -> None:
    """Shut, or TLS that could not be verified: no endpoint, which is 503, and never plain HTTP instead."""
    plan = small_plan()
    shut = replace(plan.doors[0], **options)
    (cluster,) = [
        one
        for one in build_resources(replace(plan, doors=(shut, plan.doors[1]))).clusters
        if one["name"] == shut.id
    ]
    assert cluster["load_assignment"]["endpoints"] == []
    assert "transport_socket" not in cluster


def test_prior_knowledge_has_a_window_for_every_stream() -> None:
    """RFC 9113 section 5.2: streams that are not read must not stop the others of the connection."""
    cluster = build_upstream("app_a", HttpUpstream(host="::1", port=1, scheme=Scheme.H2C), LIMITS)
    (options,) = every(cluster, "http2_protocol_options")
    assert (
        options["initial_connection_window_size"]
        == options["max_concurrent_streams"] * options["initial_stream_window_size"]
    )


def test_passive_health_counts_connections_only() -> None:
    """An application's own 503 ejects no address, and an ejected address is used again after two seconds."""
    health = build_upstream("app_a", HttpUpstream(host="::1", port=1), LIMITS)["outlier_detection"]
    assert health["split_external_local_origin_errors"] is True
    assert health["enforcing_consecutive_5xx"] == health["enforcing_consecutive_gateway_failure"] == 0
    assert health["base_ejection_time"] == health["max_ejection_time"] == "2s"
    assert "outlier_detection" not in build_upstream("app_a", UnixUpstream(path="/a"), LIMITS)
