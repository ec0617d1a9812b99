"""What the door itself answers on an application's host: the way back from the portal, and the sign-out.

Both lead to a socket of our own, over connections that were judged good only, with the application's own identity headers and
its id. The id is a constant of the route: of what a client sends, nothing with that name is left. Every other path under the
reserved prefix is refused (`routes`), and none of them reaches an application.

Not here: what is answered (web.sessions).
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
"""Method and exact path of each."""

ANSWER_TIMEOUT = "10s"
"""How long our own answer may take."""


def build_session_routes(door: HttpDoor, sessions: SessionPlan | None) -> list[dict[str, Any]]:
    """Return the routes of a door if its rules ask for a factor; otherwise it has none."""
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
