"""Routes of public paths: open to everybody, also to a connection without a good certificate.

Each path has two routes. The first is for connections that were judged good, and has identity headers. The second is for
all others and removes every identity header, even if the connection's filter state has a value: only a connection with
`judged=1` has an identity.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.app_limits import build_idle_timeouts
from doorward.enforcement.envoy.forwarding import build_forwarding
from doorward.enforcement.envoy.names import IDENTITY_HEADERS, JUDGED, PUBLIC, ConnectionFact
from doorward.enforcement.envoy.rules import build_open_slice
from doorward.enforcement.plan import HttpDoor
from doorward.policy.model import ECHOING_METHODS
from doorward.policy.paths import Exact, Form, Prefix


def build_public_routes(door: HttpDoor) -> list[dict[str, Any]]:
    """Return the routes of a door's public paths."""
    return [
        route
        for pattern in door.public
        for form in pattern.forms()
        for route in (_judged(door, form), _anonymous(door, form))
    ]


def _judged(door: HttpDoor, form: Form) -> dict[str, Any]:
    state = {"key": ConnectionFact.JUDGED.state_key, "string_match": {"exact": JUDGED}}
    return _forward(door, {**_path(form), "filter_state": [state]})


def _anonymous(door: HttpDoor, form: Form) -> dict[str, Any]:
    return {**_forward(door, _path(form)), "request_headers_to_remove": sorted(IDENTITY_HEADERS)}


def _forward(door: HttpDoor, match: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": PUBLIC,
        "match": match,
        "route": {**build_forwarding(door.id, door.upstream), **build_idle_timeouts(door.app_limits)},
        "typed_per_filter_config": build_open_slice(),
    }


def _path(form: Form) -> dict[str, Any]:
    """Match a path with every method, except those that only a rule can allow."""
    echoing = {"safe_regex": {"regex": "|".join(sorted(ECHOING_METHODS))}}
    headers = [{"name": ":method", "string_match": echoing, "invert_match": True}]
    if isinstance(form, Exact):
        return {"path": form.text, "headers": headers}
    if isinstance(form, Prefix):
        return {"prefix": form.text, "headers": headers}
    return {"safe_regex": {"regex": form.text}, "headers": headers}
