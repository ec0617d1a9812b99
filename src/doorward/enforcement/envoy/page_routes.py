"""Our own pages on an application's host: the page for refused connections, and the parts of every page.

Style, script and the descriptions of problems are for every connection that completes the handshake. The page itself is for
connections that were not judged good, if `on_refusal` is `page`: its surface gets the application, the reason, and the
certificate that the peer showed. All other requests of such connections are refused, and none reaches the application. If the
authorizer did not answer, the caller is unknown, and Envoy answers by itself.

A person chooses another certificate by a request of the page: `POST /_doorward/choose`, from a connection with or without a
good certificate.

Not here: the answers (web.pages), and public paths, which are tried first (`public_routes`).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.anonymous import build_claims, match_judged
from doorward.enforcement.envoy.cookies import build_kept_cookies
from doorward.enforcement.envoy.forwarding import build_forwarding
from doorward.enforcement.envoy.headers import build_source, overwrite_header
from doorward.enforcement.envoy.names import (
    ANONYMOUS,
    APPLICATION,
    IDENTITY_HEADERS,
    JUDGED,
    PAGE,
    RESERVED_PREFIX,
    SESSIONS_CLUSTER,
    ConnectionFact,
    Refusal,
)
from doorward.enforcement.envoy.refusals import build_refusal
from doorward.enforcement.envoy.rules import build_open_destination, build_open_slice
from doorward.enforcement.plan import HttpDoor, SessionPlan
from doorward.policy.model import UnixUpstream

STATIC_PREFIXES = (f"{RESERVED_PREFIX}/static/", f"{RESERVED_PREFIX}/problems/")
CHOOSE_PATH = f"{RESERVED_PREFIX}/choose"

ANSWER_TIMEOUT = "10s"
"""The longest time for an answer of our own surface."""

_NEITHER = f"[^{JUDGED}{ANONYMOUS}].*|[{JUDGED}{ANONYMOUS}].+|"
"""A regex for every text that is neither of the two values."""


def build_away_refusal(door: HttpDoor) -> list[dict[str, Any]]:
    """Return the route that answers if the authorizer did not; at other doors such connections have ended."""
    if not door.has_refusal_page:
        return []
    unknown = {"key": ConnectionFact.JUDGED.state_key, "string_match": {"safe_regex": {"regex": _NEITHER}}}
    return [build_refusal({"prefix": "/", "filter_state": [unknown]}, Refusal.AUTHORIZER_AWAY)]


def build_page_parts(door: HttpDoor, sessions: SessionPlan | None) -> list[dict[str, Any]]:
    """Return the routes of style, script and descriptions, and at doors for people the route for another certificate."""
    if sessions is None:
        return []
    parts = [
        _bare(_to_surface(door, sessions, PAGE, {"prefix": prefix, "headers": [_method("GET|HEAD")]}))
        for prefix in STATIC_PREFIXES
    ]
    if not (door.has_refusal_page or any(rule.residual.requirements for rule in door.rules)):
        return parts
    choose = {"path": CHOOSE_PATH, "headers": [_method("POST")]}
    judged = {**choose, "filter_state": [match_judged(JUDGED)]}
    parts.append(
        {
            **_to_surface(door, sessions, PAGE, judged),
            "request_headers_to_add": [overwrite_header(APPLICATION, door.id), build_source()],
        }
    )
    if door.certificate_optional:
        anonymous = {**choose, "filter_state": [match_judged(ANONYMOUS)]}
        parts.append(_explaining(door, sessions, PAGE, anonymous))
    return parts


def build_pages(door: HttpDoor, sessions: SessionPlan | None) -> list[dict[str, Any]]:
    """Return the route of the page that answers every GET and HEAD request of a refused connection."""
    if sessions is None or not door.has_refusal_page:
        return []
    match = {"prefix": "/", "headers": [_method("GET|HEAD")], "filter_state": [match_judged(ANONYMOUS)]}
    return [_explaining(door, sessions, PAGE, match)]


def _explaining(door: HttpDoor, sessions: SessionPlan, name: str, match: dict[str, Any]) -> dict[str, Any]:
    route = _bare(_to_surface(door, sessions, name, match))
    return {**route, "request_headers_to_add": [overwrite_header(APPLICATION, door.id), *build_claims()]}


def _bare(route: dict[str, Any]) -> dict[str, Any]:
    """Return a route without the identity headers of its table, even if the connection's filter state has values."""
    return {**route, "request_headers_to_remove": sorted(IDENTITY_HEADERS)}


def _to_surface(door: HttpDoor, sessions: SessionPlan, name: str, match: dict[str, Any]) -> dict[str, Any]:
    action = build_forwarding(SESSIONS_CLUSTER, UnixUpstream(path=sessions.sessions_socket))
    slices = {**build_open_slice(), **build_kept_cookies()}
    if door.headers.destination:
        slices |= build_open_destination()
    return {
        "name": name,
        "match": match,
        "route": {
            **action,
            "timeout": ANSWER_TIMEOUT,
            "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
        },
        "typed_per_filter_config": slices,
    }


def _method(regex: str) -> dict[str, Any]:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": regex}}}
