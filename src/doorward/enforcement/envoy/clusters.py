"""Where requests go: one cluster an application, one for the enrolment socket, one for the authorizer.

Not here: TLS towards upstreams; the recommended form is a unix socket (DESIGN 2.6).
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed, render_duration
from doorward.enforcement.envoy.names import AUTHORIZER_CLUSTER, ENROL_CHAIN
from doorward.enforcement.plan import GatewayPlan, Limits, RunPaths
from doorward.policy.model import HttpUpstream, UnixUpstream

UPSTREAM_BUFFER_BYTES = 65_536
"""What is read ahead of an answer that its client does not take: of each stream of each connection.

With Envoy's default of 1 MiB, 60 connections of one client held 3.1 GB (measured)."""

_IDLE = timedelta(seconds=60)
_DNS_REFRESH = timedelta(seconds=5)
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def build_clusters(plan: GatewayPlan) -> tuple[dict[str, Any], ...]:
    """Return the clusters of a plan, sorted by name."""
    clusters = [_typed(build_upstream(door.id, door.upstream, plan.limits)) for door in plan.doors]
    if plan.enrol:
        upstream = UnixUpstream(path=plan.enrol.socket)
        clusters.append(_typed(build_upstream(ENROL_CHAIN, upstream, plan.limits)))
    return tuple(sorted(clusters, key=lambda one: str(one["name"])))


def build_upstream(name: str, upstream: HttpUpstream | UnixUpstream, limits: Limits) -> dict[str, Any]:
    """Return the cluster of one upstream; a DNS name is looked up again and again, an address is not."""
    http1: dict[str, Any] = {"explicit_http_config": {"http_protocol_options": {}}}
    cluster = _cluster(name, upstream, limits, http1)
    if isinstance(upstream, HttpUpstream) and not _is_address(upstream.host):
        del cluster["type"]
        cluster["cluster_type"] = build_extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            dns_refresh_rate=render_duration(_DNS_REFRESH),
            dns_lookup_family="ALL",
            # One endpoint with all addresses: a connection tries the next address where one does not
            # answer (RFC 8305). As endpoints of their own, `::1` and 127.0.0.1 got half of the requests
            # each, and one half failed if the application listens on one of them only.
            all_addresses_in_single_endpoint=True,
        )
        # A resolver that does not answer must not keep Envoy from starting: this application alone
        # answers 503 until its name is known (measured: without it no door opened for 60 s and more).
        cluster["wait_for_warm_on_init"] = False
    return cluster


def build_authorizer(paths: RunPaths, limits: Limits) -> dict[str, Any]:
    """Return the cluster of the authorizer: gRPC over its unix socket."""
    http2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    return _cluster(AUTHORIZER_CLUSTER, UnixUpstream(path=paths.authorizer_socket), limits, http2)


def _cluster(
    name: str, upstream: HttpUpstream | UnixUpstream, limits: Limits, protocol: dict[str, Any]
) -> dict[str, Any]:
    options = {"common_http_protocol_options": {"idle_timeout": render_duration(_IDLE)}, **protocol}
    # A WebSocket holds an upstream connection: the default of 1,024 would be the door's real limit.
    most = {"max_connections": limits.connections, "max_pending_requests": limits.connections}
    threshold = {"priority": "DEFAULT", **most, "max_requests": limits.connections * 4, "max_retries": 3}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": render_duration(limits.upstream_connect),
        "per_connection_buffer_limit_bytes": UPSTREAM_BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": {
            _OPTIONS: build_typed(_OPTIONS.removeprefix("envoy."), **options)
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
        },
    }


def _address(upstream: HttpUpstream | UnixUpstream) -> dict[str, Any]:
    if isinstance(upstream, UnixUpstream):
        return {"pipe": {"path": upstream.path}}
    return {"socket_address": {"address": upstream.host, "port_value": upstream.port}}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _typed(cluster: dict[str, Any]) -> dict[str, Any]:
    return build_typed("config.cluster.v3.Cluster", **cluster)
