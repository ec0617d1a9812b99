"""Envoy's overload manager: what Envoy does before its memory is full.

One HTTP/2 connection may buffer `streams_per_connection` answers of `UPSTREAM_BUFFER_BYTES` each (4 MiB) and its receive
window (`CONNECTION_WINDOW_BYTES`, 6 MiB). The connections of one principal could take 5 GiB, and all connections a
terabyte. So the sum is limited here, by the heap:

| part of the heap | what happens |
| --- | --- |
| 80 % | free pages are returned to the system |
| 82 to 94 % | the streams with the largest buffers are reset, the largest first, 50 at a time; idle timeouts of streams and connections get shorter, at last 2 s |
| 92 % | HTTP/1.1 answers carry `Connection: close` |
| 95 % | new requests are answered with 503 |
| 98 % | new connections are closed |

Not here: the limits of one connection (`http`, `listener`, `clusters`).
Standard: Envoy's overload manager; RFC 9113 section 5.4.2 (a stream is reset, its connection stays open).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed
from doorward.enforcement.plan import GatewayLimits

SHRINK, RESET_FROM, RESET_ALL, NO_KEEPALIVE, NO_REQUESTS, FULL = 0.80, 0.82, 0.94, 0.92, 0.95, 0.98

LEAST_TRACKED_POWER = 10
"""Streams with buffers of 2^10 bytes or more are counted, in eight classes of doubling size.

Between `RESET_FROM` and `RESET_ALL` one class after the other is reset, the largest first. With classes from 2^10 on, a
stream with a full upstream buffer (2^16) is reset after a quarter of that range, long before requests are refused.
"""

IDLE_WHEN_FULL = "2s"
"""Envoy resets streams only while the pressure changes: above the last threshold it would reset no more, and clients that
do not read would keep the memory until their streams' idle timeout (measured)."""

_HEAP = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"


def build_overload_manager(limits: GatewayLimits) -> dict[str, Any]:
    """Return the overload manager: limits of connections and of the heap, with the actions before the heap is full."""
    connections = build_extension(
        _CONNECTIONS,
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=limits.accepted,
    )
    heap = build_extension(
        _HEAP,
        "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        max_heap_size_bytes=limits.heap_bytes,
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [connections, heap],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": LEAST_TRACKED_POWER},
        "actions": [
            _action("shrink_heap", {"threshold": {"value": SHRINK}}),
            _action(
                "reset_high_memory_stream",
                {"scaled": {"scaling_threshold": RESET_FROM, "saturation_threshold": RESET_ALL}},
            ),
            _action(
                "reduce_timeouts",
                {"scaled": {"scaling_threshold": RESET_FROM, "saturation_threshold": RESET_ALL}},
                typed_config=build_typed(
                    "config.overload.v3.ScaleTimersOverloadActionConfig",
                    timer_scale_factors=[
                        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": IDLE_WHEN_FULL},
                        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": IDLE_WHEN_FULL},
                    ],
                ),
            ),
            _action("disable_http_keepalive", {"threshold": {"value": NO_KEEPALIVE}}),
            _action("stop_accepting_requests", {"threshold": {"value": NO_REQUESTS}}),
            _action("reject_incoming_connections", {"threshold": {"value": FULL}}),
        ],
    }


def _action(name: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **trigger}], **more}
