"""What Envoy is started with: its name, its admin socket, which files it watches, its global limits.

Not here: the watched files (`resources`) and the command line (gateway.envoy.program). Start with
`--reject-unknown-dynamic-fields` (a typing error must not drop a control), `--drain-time-s` and
`--file-flush-interval-msec 50`.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.clusters import build_authorizer
from doorward.enforcement.envoy.overload import build_overload_manager
from doorward.enforcement.plan import GatewayLimits, GatewayPaths, check_socket_path
from doorward.policy.normalisation import RE2_PROGRAM_LIMIT

ADMIN_MODE = 0o600
"""The admin interface has no login: only the file system keeps others out."""

HUNG = "10s"
"""A thread that does nothing for so long hangs: Envoy ends itself, and the supervisor starts another.

Connections would wait for ever otherwise. No honest work of one thread takes a tenth of it.
"""


def build_bootstrap(base: dict[str, Any], *, node: str, admin_socket: str, xds: str) -> dict[str, Any]:
    """Return the bootstrap of a gateway whose listeners and clusters come from watched files.

    Args:
        base: `Resources.base`.
        node: the gateway's name.
        admin_socket: absolute path of the admin socket of this run, at most 107 bytes.
        xds: the watched folder, the same as in the plan.

    Raises:
        ValueError: the admin socket's path cannot be a socket.
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
    """Return what a running and a validating Envoy have in common."""
    # Envoy's default is about one path pattern long. RE2 takes time linear in the path whatever the
    # expression, so that this bounds memory, not attacks.
    runtime: dict[str, Any] = {
        "re2.max_program_size.error_level": RE2_PROGRAM_LIMIT,
        # Envoy 1.40 holds each line of a field that it does not join itself (Cookie, Sec-Fetch-Site) against a matcher alone,
        # and one that fits is enough. As one text, joined by commas, two lines of which one is good equal no good one.
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
