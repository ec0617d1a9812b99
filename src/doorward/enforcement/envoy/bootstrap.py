"""Envoy's bootstrap: its name, its admin socket, the source of all other resources, its global limits.

Envoy must be started with `--reject-unknown-dynamic-fields` (otherwise a misspelt field would silently remove a
protection), `--drain-time-s` and `--file-flush-interval-msec 50`.
Not here: the other resources (`assembly`), and the command line (gateway.envoy.program).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.clusters import build_authorizer, build_discovery
from doorward.enforcement.envoy.extension import ADS
from doorward.enforcement.envoy.names import DISCOVERY_CLUSTER
from doorward.enforcement.envoy.overload import build_overload_manager
from doorward.enforcement.plan import GatewayLimits, GatewayPaths, check_socket_path
from doorward.policy.normalisation import RE2_PROGRAM_LIMIT

ADMIN_MODE = 0o600
"""The admin interface has no login: only the permissions of the file protect it."""

HUNG = "10s"
"""If a worker makes no progress for so long, Envoy ends itself, and the supervisor starts another.

Otherwise its connections would wait forever. Regular work of a worker takes less than a tenth of this.
"""

MAIN_HUNG = "120s"
"""The same for the main thread. It builds all filter chains of a listener in one step: a thousand take about 10 s."""

WATCHED_EVERY = "2s"
"""How often the watchdogs look; each thread shows twice as often that it is alive. Envoy's default of 0.2 s wakes four threads
five or ten times a second, for nothing but two counters of threads that were slow."""

MOST_MESSAGE_BYTES = 512 << 20
"""The listener of a thousand applications has 93 MB, most of it pages; gRPC's default is 4."""

_STREAM: dict[str, Any] = {
    "api_type": "DELTA_GRPC",
    "transport_api_version": "V3",
    "set_node_on_first_message_only": True,
    "grpc_services": [
        {
            "envoy_grpc": {
                "cluster_name": DISCOVERY_CLUSTER,
                "max_receive_message_length": MOST_MESSAGE_BYTES,
                # While the gateway restarts. Envoy's default grows to 30 s.
                "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
            }
        }
    ],
}


def build_bootstrap(base: dict[str, Any], *, node: str, admin_socket: str) -> dict[str, Any]:
    """Return the bootstrap of a gateway; everything else comes over one stream (ADS).

    Args:
        base: what `build_base` returned.
        node: the gateway's name.
        admin_socket: absolute path of the admin socket of this run, at most 107 bytes.

    Raises:
        ValueError: the path of the admin socket is relative or too long.
    """
    check_socket_path(admin_socket)
    return {
        **base,
        "node": {"id": node, "cluster": "doorward"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": ADMIN_MODE}}},
        "dynamic_resources": {"ads_config": _STREAM, "lds_config": ADS, "cds_config": ADS},
    }


def build_base(paths: GatewayPaths, limits: GatewayLimits) -> dict[str, Any]:
    """Return the part of the bootstrap that does not depend on the run."""
    # Envoy's default allows about one path pattern. RE2 needs linear time for every expression, so a higher limit costs
    # memory and opens no attack.
    runtime: dict[str, Any] = {
        "re2.max_program_size.error_level": RE2_PROGRAM_LIMIT,
        # Envoy 1.40 matches each line of some fields (Cookie, Sec-Fetch-Site) separately, and one matching line is enough.
        # With False the lines are joined by commas first, so a good line beside a bad one does not match.
        "envoy.reloadable_features.match_headers_individually": False,
        # Without it, the facts in the descriptors of the rate limit would be literal text (`rate_limit`).
        "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value": True,
    }
    return {
        "watchdogs": {"main_thread_watchdog": _watchdog(MAIN_HUNG), "worker_watchdog": _watchdog(HUNG)},
        "layered_runtime": {"layers": [{"name": "doorward", "static_layer": runtime}]},
        "overload_manager": build_overload_manager(limits),
        "static_resources": {"clusters": [build_authorizer(paths, limits), build_discovery(paths, limits)]},
    }


def _watchdog(seconds: str) -> dict[str, Any]:
    return {
        "miss_timeout": WATCHED_EVERY,
        "megamiss_timeout": WATCHED_EVERY,
        "kill_timeout": seconds,
        "max_kill_timeout_jitter": "1s",
    }
