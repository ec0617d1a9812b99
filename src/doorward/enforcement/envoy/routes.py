"""Route tables: one for each application, so that a policy edit changes no chain and no other application.

Every route has a *slice*: the rules that its RBAC filters enforce. A route without a slice inherits the filters' base,
which refuses everything. The order of routes matters: first the refusals before any rule (`refusals`), then slices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from doorward.enforcement.envoy.app_limits import build_idle_timeouts
from doorward.enforcement.envoy.cross_origin import add_cors_policy, build_cross_origin_routes
from doorward.enforcement.envoy.extension import build_typed
from doorward.enforcement.envoy.forwarding import build_forwarding, build_retry_policy
from doorward.enforcement.envoy.headers import build_open_headers, build_route_headers
from doorward.enforcement.envoy.names import RESERVED_PREFIX, Refusal
from doorward.enforcement.envoy.page_routes import build_away_refusal, build_page_parts, build_pages
from doorward.enforcement.envoy.public_routes import build_public_routes
from doorward.enforcement.envoy.refusals import (
    build_cookie_refusal,
    build_destination_refusals,
    build_message_refusals,
    build_protocol_refusals,
    build_refusal,
)
from doorward.enforcement.envoy.rules import (
    build_destination_slice,
    build_open_destination,
    build_slice,
    build_step_up_slice,
    unnamed_methods,
)
from doorward.enforcement.envoy.session_routes import build_session_routes
from doorward.enforcement.envoy.sessions import (
    build_session_headers,
    build_session_slice,
    requirements_of,
    stream_limit,
)
from doorward.enforcement.plan import DoorRule, HttpDoor, OpenDoor, OpenRoute, SessionPlan
from doorward.policy.model import ECHOING_METHODS, UnixUpstream
from doorward.policy.normalisation import KEPT_SLASH_REGEXES, REFUSED_PATH_REGEXES
from doorward.policy.paths import PathPattern

MAX_SLICES = 64
"""Routes are tried in order, and a rule for every path is repeated in each slice: both costs grow with this number."""

_ONE_SPELLING = re.compile("[A-Za-z0-9._~-]+")


def build_door_table(door: HttpDoor, sessions: SessionPlan | None = None) -> dict[str, Any]:
    """Return the route table of one application; without sessions, rules that require a factor allow nothing."""
    refused = KEPT_SLASH_REGEXES if door.keeps_slashes else REFUSED_PATH_REGEXES
    left = unnamed_methods(door.rules)
    routes = [
        *build_protocol_refusals(door.hosts),
        *(build_refusal({"safe_regex": {"regex": regex}}, Refusal.PATH) for regex in refused),
        *build_message_refusals(left),
        build_cookie_refusal(),
        *build_destination_refusals(door.headers, door.hosts),
        *build_away_refusal(door),
        *build_cross_origin_routes(door),
        *build_session_routes(door, sessions),
        *build_page_parts(door, sessions),
        build_refusal({"path_separated_prefix": RESERVED_PREFIX}, Refusal.RESERVED),
        *_with_second_path(door, build_public_routes(door), sessions),
        *build_pages(door, sessions),
    ]
    action = {**build_forwarding(door.id, door.upstream), **build_idle_timeouts(door.app_limits)}
    routes += [
        _judge(door, match, action, rules, sessions=sessions) for match, rules in slice_rules(door.rules)
    ]
    whole: dict[str, Any] = {}
    if door.headers.destination:
        whole = build_destination_slice(door.rules)
        # A refusal keeps its own status and reason: no rule is evaluated for it.
        routes = [
            {**one, "typed_per_filter_config": {**one["typed_per_filter_config"], **build_open_destination()}}
            if "direct_response" in one
            else one
            for one in routes
        ]
    table = build_table(door.id, door.hosts, routes, build_route_headers(), whole)
    return add_cors_policy(table, door)


def build_open_table(door: OpenDoor) -> dict[str, Any]:
    """Return the route table of an open door: a request without a route gets 404."""
    action = build_forwarding(door.id, UnixUpstream(path=door.socket))
    routes = build_protocol_refusals((door.host,))
    routes += [_forward(_open_match(route), action, {}) for route in door.routes]
    routes.append({"match": {"prefix": "/"}, "direct_response": {"status": 404}})
    return build_table(door.id, (door.host,), routes, build_open_headers(), has_rules=False)


def build_closed_table(name: str, *, has_rules: bool = True) -> dict[str, Any]:
    """Return a table that answers every request with 503, while Envoy does not accept the application's configuration."""
    refusal = build_refusal({"prefix": "/"}, Refusal.CLOSED)
    return build_typed(
        "config.route.v3.RouteConfiguration",
        name=name,
        virtual_hosts=[
            {
                "name": name,
                "domains": ["*"],
                "routes": [refusal if has_rules else _without_slice(refusal)],
            }
        ],
    )


def slice_rules(rules: Sequence[DoorRule]) -> list[tuple[dict[str, Any], tuple[DoorRule, ...]]]:
    """Divide rules by the first segment of their paths.

    Returns:
        Route match and rules, in the order in which routes are tried. A route has every rule that may hold for a path that
        it matches, and the last route matches every path.
    """
    counts = Counter(segment for rule in rules for segment in _first_segments(rule) if segment)
    kept = sorted(segment for segment, _ in sorted(counts.items(), key=_most_first)[:MAX_SLICES])
    slices = []
    for segment in kept:
        inside = tuple(rule for rule in rules if _first_segments(rule) & {segment, None})
        slices.append(({"path_separated_prefix": f"/{segment}"}, inside))
    rest = tuple(rule for rule in rules if not _first_segments(rule) <= set(kept))
    return [*slices, ({"prefix": "/"}, rest)]


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _first_segments(rule: DoorRule) -> set[str | None]:
    """Return the literal first segments of a rule's paths; None stands for any segment, "" for the path `/`."""
    return {_first_segment(pattern) for pattern in rule.residual.paths}


def _first_segment(pattern: PathPattern) -> str | None:
    if not pattern.segments:
        return None if pattern.tail else ""
    segment = pattern.segments[0]
    # A character with two spellings (`@` and `%40`) would need two routes: such a rule goes into the last route.
    return segment if segment and _ONE_SPELLING.fullmatch(segment) else None


def _with_second_path(
    door: HttpDoor, routes: list[dict[str, Any]], sessions: SessionPlan | None
) -> list[dict[str, Any]]:
    """Return public routes that also verify sessions, if a judged `Destination` may be a path that requires a factor."""
    if sessions is None or not door.headers.destination or not requirements_of(door.rules):
        return routes
    verifying = build_session_slice(door.id, door.rules)
    return [
        {
            **one,
            "typed_per_filter_config": {**one["typed_per_filter_config"], **verifying},
            **build_session_headers(),
        }
        if "filter_state" in one["match"]  # the route of judged connections
        else one
        for one in routes
    ]


def _judge(
    door: HttpDoor,
    match: dict[str, Any],
    action: dict[str, Any],
    rules: tuple[DoorRule, ...],
    *,
    sessions: SessionPlan | None,
) -> dict[str, Any]:
    """Return a route with its slice of the rules; if one of them requires a factor, also with the session's part."""
    echoing = ECHOING_METHODS - unnamed_methods(door.rules)
    slices = build_slice(rules, echoing)
    # A second path is judged by every rule, for any first path.
    judged = door.rules if door.headers.destination else rules
    if sessions is None or not requirements_of(judged):
        return _forward(match, action, slices)
    slices |= build_session_slice(door.id, judged)
    slices |= build_step_up_slice(rules, echoing, destination=door.headers.destination)
    route = _forward(match, {**action, **stream_limit(sessions, rules)}, slices)
    return {**route, **build_session_headers()}


def _forward(match: dict[str, Any], action: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    return {"match": match, "route": action, "typed_per_filter_config": rules}


def _open_match(route: OpenRoute) -> dict[str, Any]:
    method = {"name": ":method", "string_match": {"exact": route.method}}
    path = {"safe_regex": {"regex": route.regex}} if route.regex else {"path": route.path}
    return {**path, "headers": [method]}


def build_table(
    name: str,
    hosts: tuple[str, ...],
    routes: list[dict[str, Any]],
    headers: dict[str, Any],
    whole: dict[str, Any] | None = None,
    *,
    has_rules: bool = True,
) -> dict[str, Any]:
    """Return a table for these hosts; a request for any other host gets 421.

    So neither connection coalescing of HTTP/2 nor domain fronting leads from one application to another.

    Args:
        name: the table's name.
        hosts: the hosts of the door.
        routes: their routes, in the order in which they are tried.
        headers: the header part of the table.
        whole: slices of rules for every route.
        has_rules: whether the door has RBAC filters; without them, routes have no slices.

    Standard: RFC 9110 section 15.5.20.
    """
    table = _table(name, hosts, routes, headers, whole or {})
    if not has_rules:
        for host in table["virtual_hosts"]:
            host["routes"] = [_without_slice(route) for route in host["routes"]]
    return table


def _without_slice(route: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in route.items() if key != "typed_per_filter_config"}


def _table(
    name: str,
    hosts: tuple[str, ...],
    routes: list[dict[str, Any]],
    headers: dict[str, Any],
    whole: dict[str, Any],
) -> dict[str, Any]:
    for_all = {"typed_per_filter_config": whole} if whole else {}
    misdirected = [*build_protocol_refusals(()), build_refusal({"prefix": "/"}, Refusal.MISDIRECTED)]
    return build_typed(
        "config.route.v3.RouteConfiguration",
        name=name,
        # Header changes apply from the table to the route, so a public route can remove the identity headers of the table.
        most_specific_header_mutations_wins=True,
        ignore_port_in_host_matching=True,
        virtual_hosts=[
            {"name": name, "domains": list(hosts), "routes": routes, **for_all, **build_retry_policy()},
            {"name": "misdirected", "domains": ["*"], "routes": misdirected},
        ],
        **headers,
    )
