"""Envoy's bootstrap: its name, its admin socket, the files that it watches, its global limits.

Envoy must be started with `--reject-unknown-dynamic-fields` (otherwise a misspelt field would silently remove a
protection), `--drain-time-s` and `--file-flush-interval-msec 50`.
Not here: the watched files (`resources`), and the command line (gateway.envoy.program).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.clusters import build_authorizer
from doorward.enforcement.envoy.overload import build_overload_manager
from doorward.enforcement.plan import GatewayLimits, GatewayPaths, check_socket_path
from doorward.policy.normalisation import RE2_PROGRAM_LIMIT

ADMIN_MODE = 0o600
"""The admin interface has no login: only the permissions of the file protect it."""

HUNG = "10s"
"""If a thread makes no progress for so long, Envoy ends itself, and the supervisor starts another.

Otherwise its connections would wait forever. Regular work of a thread takes less than a tenth of this.
"""


def build_bootstrap(base: dict[str, Any], *, node: str, admin_socket: str, xds: str) -> dict[str, Any]:
    """Return the bootstrap of a gateway; its listeners and clusters come from watched files.

    Args:
        base: `Resources.base`.
        node: the gateway's name.
        admin_socket: absolute path of the admin socket of this run, at most 107 bytes.
        xds: the watched folder, the same as in the plan.

    Raises:
        ValueError: the path of the admin socket is relative or too long.
    """
    check_socket_path(admin_socket)
    return {
        **base,
        "node": {"id": node, "cluster": "doorward"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": ADMIN_MODE}}},
        "dynamic_resources": {
            "lds_config": _watched(f"{xds}/lds.json"),
            "cds_config": _watched(f"{xds}/cds.json"),
        },
    }


def build_base(paths: GatewayPaths, limits: GatewayLimits) -> dict[str, Any]:
    """Return the part of the bootstrap that a running and a validating Envoy share."""
    # Envoy's default allows about one path pattern. RE2 needs linear time for every expression, so a higher limit costs
    # memory and opens no attack.
    runtime: dict[str, Any] = {
        "re2.max_program_size.error_level": RE2_PROGRAM_LIMIT,
        # Envoy 1.40 matches each line of some fields (Cookie, Sec-Fetch-Site) separately, and one matching line is enough.
        # With False the lines are joined by commas first, so a good line beside a bad one does not match.
        "envoy.reloadable_features.match_headers_individually": False,
    }
    watchdog = {"kill_timeout": HUNG, "max_kill_timeout_jitter": "1s"}
    return {
        "watchdogs": {"main_thread_watchdog": watchdog, "worker_watchdog": watchdog},
        "layered_runtime": {"layers": [{"name": "doorward", "static_layer": runtime}]},
        "overload_manager": build_overload_manager(limits),
        "static_resources": {"clusters": [build_authorizer(paths, limits)]},
    }


def _watched(path: str) -> dict[str, Any]:
    return {"path_config_source": {"path": path}, "resource_api_version": "V3"}
