"""Routes of sessions on an application's host: the callback from the portal, and the sign-out.

They lead to a socket of our own, only for connections that were judged good, with the identity headers and the application's
id. The id is a constant of the route; a header of a client with that name was removed before. Every other path below the
reserved prefix is refused (`routes`), and no such request reaches an application.

Not here: the answers (web.sessions).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.anonymous import match_judged
from doorward.enforcement.envoy.cookies import build_kept_cookies
from doorward.enforcement.envoy.forwarding import build_forwarding
from doorward.enforcement.envoy.headers import build_source, overwrite_header
from doorward.enforcement.envoy.names import (
    APPLICATION,
    JUDGED,
    OWN_SURFACE,
    RESERVED_PREFIX,
    SESSIONS_CLUSTER,
)
from doorward.enforcement.envoy.rules import build_open_destination, build_open_slice
from doorward.enforcement.plan import HttpDoor, SessionPlan
from doorward.policy.model import UnixUpstream

OWN_PATHS = (
    ("GET", f"{RESERVED_PREFIX}/callback"),
    ("POST", f"{RESERVED_PREFIX}/sign-out"),
    ("GET", f"{RESERVED_PREFIX}/signed-out"),
)
"""Method and exact path of each route."""

ANSWER_TIMEOUT = "10s"
"""The longest time for an answer of our own surface."""


def build_session_routes(door: HttpDoor, sessions: SessionPlan | None) -> list[dict[str, Any]]:
    """Return the routes of a door; none if no rule requires a factor."""
    if sessions is None or not any(rule.residual.requirements for rule in door.rules):
        return []
    action = {
        **build_forwarding(SESSIONS_CLUSTER, UnixUpstream(path=sessions.sessions_socket)),
        "timeout": ANSWER_TIMEOUT,
    }
    slices = {**build_open_slice(), **build_kept_cookies()}
    if door.headers.destination:
        slices |= build_open_destination()
    return [
        {
            "name": OWN_SURFACE,
            "match": {
                "path": path,
                "headers": [{"name": ":method", "string_match": {"exact": method}}],
                "filter_state": [match_judged(JUDGED)],
            },
            "route": action,
            "typed_per_filter_config": slices,
            "request_headers_to_add": [overwrite_header(APPLICATION, door.id), build_source()],
        }
        for method, path in OWN_PATHS
    ]
