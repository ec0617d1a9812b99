"""Clusters: of applications, of our own sockets, and of the authorizer.

The recommended upstream is a unix socket. Not here: TLS towards upstreams (`upstream_tls`), retries (`forwarding`).
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed, render_duration
from doorward.enforcement.envoy.names import AUTHORIZER_CLUSTER, DISCOVERY_CLUSTER
from doorward.enforcement.envoy.upstream_tls import build_upstream_tls
from doorward.enforcement.plan import GatewayLimits, GatewayPaths
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.model import (
    Scheme,
    TcpUpstream,
    UnixUpstream,
    Upstream,
    WebUpstream,
    upstream_address,
)

UPSTREAM_BUFFER_BYTES = 65_536
"""How much of an answer is buffered if its client does not read, for each stream of each connection.

With Envoy's default of 1 MiB, 60 connections of one client took 3.1 GB (measured)."""

MOST_RETRIES = 1024
"""Retries at the same time for one application: an application that restarts closes all its connections."""

_STREAMS, _WINDOW = 100, UPSTREAM_BUFFER_BYTES
_HTTP1: dict[str, Any] = {"explicit_http_config": {"http_protocol_options": {}}}
_H2C: dict[str, Any] = {
    "explicit_http_config": {
        "http2_protocol_options": {
            "max_concurrent_streams": _STREAMS,
            "initial_stream_window_size": _WINDOW,
            # Enough for all streams together: a stream that is not read must not stop other streams of its connection.
            "initial_connection_window_size": _STREAMS * _WINDOW,
        }
    }
}
_PASSIVE_HEALTH: dict[str, Any] = {
    # If an address drops packets, each request waits for the connect timeout. After ten such failures in a row, requests
    # get 503 at once, for two seconds. Answers of the application itself never count: one failing path must not shut
    # the others.
    "outlier_detection": {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 10,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "2s",
        "max_ejection_time": "2s",
        "max_ejection_percent": 100,
    },
    "common_lb_config": {"healthy_panic_threshold": {"value": 0.0}},
}
_KEPT_IDLE = timedelta(seconds=4)
"""How long a kept connection of HTTP/1.1 may be idle: less than in common servers, many of which close after 5 s.

If the server closes it at the moment of a request, a request that must not be sent twice gets 503 (docs/design/0041)."""

_IDLE = timedelta(seconds=60)
"""The same of HTTP/2, where GOAWAY says which requests were not read (RFC 9113 section 6.8)."""

_DNS_REFRESH = timedelta(seconds=5)
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def build_empty_cluster(name: str, upstream: Upstream, limits: GatewayLimits) -> dict[str, Any]:
    """Return a cluster without an endpoint: requests get 503, TCP connections end."""
    cluster = _cluster(name, upstream, limits, _HTTP1)
    cluster["load_assignment"]["endpoints"] = []
    return cluster


def build_upstream(
    name: str, upstream: WebUpstream, limits: GatewayLimits, files: UpstreamFiles | None = None
) -> dict[str, Any]:
    """Return the cluster of one HTTP upstream."""
    if isinstance(upstream, UnixUpstream):
        return _cluster(name, upstream, limits, _HTTP1)
    protocol = _H2C if upstream.scheme is Scheme.H2C else _HTTP1
    cluster = _found_by_name(_cluster(name, upstream, limits, protocol), upstream.host)
    if upstream.tls is not None and files is not None:
        cluster["transport_socket"] = build_upstream_tls(upstream, upstream.tls, files)
    return cluster


def build_spelling_upstream(name: str, upstream: UnixUpstream, limits: GatewayLimits) -> dict[str, Any]:
    """Return the cluster of an HTTP upstream with names of response fields as the upstream spells them.

    Names of fields have no case (RFC 9110 section 5.1), and Envoy writes them in lower case. libest, which is in the firmware
    of routers, knows only `Content-Type` and `WWW-Authenticate` in this spelling.
    """
    spelling = build_extension(
        "envoy.http.stateful_header_formatters.preserve_case",
        "extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
        formatter_type_on_envoy_headers="PROPER_CASE",
    )
    options = {"header_key_format": {"stateful_formatter": spelling}}
    return _cluster(name, upstream, limits, {"explicit_http_config": {"http_protocol_options": options}})


def build_tcp_upstream(name: str, upstream: TcpUpstream, limits: GatewayLimits) -> dict[str, Any]:
    """Return the cluster of one TCP upstream."""
    cluster = _cluster(name, upstream, limits)
    return cluster if upstream.path else _found_by_name(cluster, upstream.host)


def _found_by_name(cluster: dict[str, Any], host: str) -> dict[str, Any]:
    """Return a cluster for a host; a DNS name is resolved again and again, an address is not."""
    cluster |= _PASSIVE_HEALTH
    if not _is_address(host):
        del cluster["type"]
        cluster["cluster_type"] = build_extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            dns_refresh_rate=render_duration(_DNS_REFRESH),
            dns_lookup_family="ALL",
            # One endpoint with all addresses: a connection tries the next address if one does not answer (RFC 8305).
            # With one endpoint for each address, `::1` and 127.0.0.1 would get half of the requests each, and one half
            # would fail if the application listens on one of them only.
            all_addresses_in_single_endpoint=True,
        )
        # A resolver that does not answer must not stop Envoy from starting: only this application answers 503 until its
        # name is resolved (measured: without this, no door opened for 60 s and more).
        cluster["wait_for_warm_on_init"] = False
    return cluster


def build_authorizer(paths: GatewayPaths, limits: GatewayLimits) -> dict[str, Any]:
    """Return the cluster of the authorizer: gRPC over its unix socket."""
    http2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    return _cluster(AUTHORIZER_CLUSTER, UnixUpstream(path=paths.authorizer_socket), limits, http2)


def build_discovery(paths: GatewayPaths, limits: GatewayLimits) -> dict[str, Any]:
    """Return the cluster of the discovery service: gRPC over its unix socket."""
    http2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    return _cluster(DISCOVERY_CLUSTER, UnixUpstream(path=paths.discovery_socket), limits, http2)


def _cluster(
    name: str, upstream: Upstream, limits: GatewayLimits, protocol: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the common part of all clusters; `protocol` has the HTTP options, None for a TCP upstream."""
    # A WebSocket needs an upstream connection: Envoy's default of 1,024 would be the door's real limit.
    most = {"max_connections": limits.connections, "max_pending_requests": limits.connections}
    threshold = {
        "priority": "DEFAULT",
        **most,
        "max_requests": limits.connections * 4,
        "max_retries": MOST_RETRIES,
    }
    cluster = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": render_duration(limits.upstream_connect),
        "per_connection_buffer_limit_bytes": UPSTREAM_BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [threshold]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
        },
    }
    if protocol is not None:
        idle = _IDLE if "http2_protocol_options" in protocol["explicit_http_config"] else _KEPT_IDLE
        options = {"common_http_protocol_options": {"idle_timeout": render_duration(idle)}, **protocol}
        cluster["typed_extension_protocol_options"] = {
            _OPTIONS: build_typed(_OPTIONS.removeprefix("envoy."), **options)
        }
    return cluster


def _address(upstream: Upstream) -> dict[str, Any]:
    place = upstream_address(upstream)
    if isinstance(place, str):
        return {"pipe": {"path": place}}
    return {"socket_address": {"address": place[0], "port_value": place[1]}}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
