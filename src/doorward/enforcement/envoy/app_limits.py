"""The keys `timeouts` and `limits` of an application as fields of Envoy.

Idle timeouts are in routes, so a change ends no connection. Sizes are in the connection manager and the cluster.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import render_duration
from doorward.policy.app_limits import HEADER_KILOBYTES, AppLimits

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def build_idle_timeouts(app_limits: AppLimits) -> dict[str, Any]:
    """Return the idle timeouts of a forwarding route.

    `flush_timeout` is for a client that reads the last bytes slowly: Envoy does not count this as activity.
    """
    idle = render_duration(app_limits.idle)
    return {"idle_timeout": idle, "flush_timeout": idle}


def limit_requests(config: dict[str, Any], app_limits: AppLimits) -> None:
    """Put the limits on the header fields of requests into a connection manager."""
    config["max_request_headers_kb"] = app_limits.header_kilobytes
    config["common_http_protocol_options"]["max_headers_count"] = app_limits.headers
    if app_limits.header_kilobytes > HEADER_KILOBYTES:  # Envoy's limit for a single field in HTTP/2
        config["http2_protocol_options"]["max_header_field_size_kb"] = app_limits.header_kilobytes


def limit_answers(cluster: dict[str, Any], app_limits: AppLimits) -> dict[str, Any]:
    """Return a cluster with the limits on the header fields of answers."""
    every = cluster["typed_extension_protocol_options"]
    options = every[_OPTIONS]
    common = {
        **options["common_http_protocol_options"],
        "max_headers_count": app_limits.headers,
        "max_response_headers_kb": app_limits.header_kilobytes,
    }
    return {
        **cluster,
        "typed_extension_protocol_options": {
            **every,
            _OPTIONS: {**options, "common_http_protocol_options": common},
        },
    }
