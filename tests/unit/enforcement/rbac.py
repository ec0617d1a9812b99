"""Reads a compiled route table as Envoy does, for tests of the rules: first matching route, then both filters.

Not a full Envoy: it knows exactly the words that the compiler uses and fails on any other. That it
reads them right is proved by the same comparison against a real Envoy (integration).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from doorward.enforcement.envoy.extension import switch_off
from doorward.enforcement.envoy.headers import NAMES_HEADER
from doorward.enforcement.envoy.names import (
    ALLOW_FILTER,
    BOUND_FILTER,
    DENY_FILTER,
    DESTINATION_FILTER,
    OWNER_FILTER,
    STEP_UP_FILTER,
    ConnectionFact,
)

FORWARDED = 200


@dataclass(frozen=True, slots=True)
class BoundSession:
    """A session of this certificate and epoch: claim to the second at which a factor was shown, and what time it is."""

    claims: Mapping[str, int]
    time: datetime


_BESIDE_THE_PATH = {"headers", "filter_state"}


def answer_of(
    table: Mapping[str, Any],
    host: str,
    method: str,
    path: str,
    state: Mapping[str, str],
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    session: BoundSession | None = None,
) -> tuple[int, str]:
    """Return the status that a request gets, and the policy that let it through.

    Args:
        table: a RouteConfiguration.
        host: of the request, without a port.
        method: of the request.
        path: of the request, normalised, without query.
        state: connection filter state.
        headers: more headers of the request, lower case; their names were found good.
        session: None if there is none, or if it is not the connection's.
    """
    route = route_of(table, host, method, path, state, headers=headers)
    if route is None:
        return 403, ""
    words = _words(host, method, headers)
    slices = {
        **_host_of(table, host).get("typed_per_filter_config", {}),
        **route["typed_per_filter_config"],
    }
    state = {**state, **_compared(slices.get(OWNER_FILTER, {}), path, state), **_met(slices, session)}
    return _answer_of_route(slices, route, words, path, state)


def challenge_of(
    table: Mapping[str, Any], host: str, method: str, path: str, state: Mapping[str, str]
) -> str:
    """Return the shadow policy that a refused request without a session fits; empty if no factor would help."""
    route = route_of(table, host, method, path, state)
    slices = {} if route is None else route["typed_per_filter_config"]
    if STEP_UP_FILTER not in slices:
        return ""
    state = {**state, **_compared(slices.get(OWNER_FILTER, {}), path, state)}
    shadow = slices[STEP_UP_FILTER]["rbac"]["shadow_rules"]
    return _fitting(shadow, _words(host, method, {}), path, state)


def route_of(
    table: Mapping[str, Any],
    host: str,
    method: str,
    path: str,
    state: Mapping[str, str],
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Any] | None:
    """Return the route that takes a request; arguments as for `answer_of`."""
    words = _words(host, method, headers)
    for route in _host_of(table, host)["routes"]:
        if _route_matches(route["match"], words, path, state):
            return dict(route)
    return None


def _compared(config: Mapping[str, Any], path: str, state: Mapping[str, str]) -> dict[str, str]:
    """Return the words of the filter before the rules; a comparison that is not possible gives none."""
    found = {}
    for one in config.get("on_request_headers", ()):
        text = one["format_string"]["text_format_source"]["inline_string"]
        match = re.fullmatch(
            r"%CEL\(request\.url_path\.split\('/'\)\[(\d+)\] == string\(filter_state\['([a-z.]+)'\]\) \? 'yes' : 'no'\)%",
            text,
        )
        assert match is not None, text
        assert match[2] == ConnectionFact.OWNER.state_key
        parts, place = path.split("/"), int(match[1])
        if match[2] in state and place < len(parts):
            found[one["object_key"]] = "yes" if parts[place] == state[match[2]] else "no"
    return found


def _words(host: str, method: str, headers: Mapping[str, str]) -> dict[str, str]:
    return {":method": method, ":authority": host, NAMES_HEADER: "true", **headers}


def _host_of(table: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    hosts: list[Mapping[str, Any]] = table["virtual_hosts"]
    return next((one for one in hosts if host in one["domains"]), hosts[-1])


def _answer_of_route(
    slices: Mapping[str, Any],
    route: Mapping[str, Any],
    words: Mapping[str, str],
    path: str,
    state: Mapping[str, str],
) -> tuple[int, str]:
    passed = ""
    for name in (DESTINATION_FILTER, DENY_FILTER, ALLOW_FILTER):
        if name not in slices:
            assert name == DESTINATION_FILTER
            continue
        if slices[name] == switch_off():
            assert name == DENY_FILTER
            continue
        passed = _fitting(slices[name]["rbac"]["rules"], words, path, state)
        if not passed:
            return 403, ""
    return route.get("direct_response", {}).get("status", FORWARDED), passed


def _fitting(rules: Mapping[str, Any], words: Mapping[str, str], path: str, state: Mapping[str, str]) -> str:
    assert rules["action"] == "ALLOW"
    return next(
        (
            policy
            for policy, content in sorted(rules["policies"].items())
            if any(_holds(one, words, path, state) for one in content["principals"])
        ),
        "",
    )


_SHOWN = (
    r"'doorward-session-([a-z]+)' in request\.headers"
    r"(?: && request\.time - timestamp\(int\(request\.headers\['doorward-session-\1'\]\)\) <= duration\('(\d+)s'\))?"
)
_WORD = re.compile(
    r"%CEL\(request\.headers\['doorward-session-aud'\] == '[a-z0-9_]+'"
    r" && request\.headers\['doorward-session-fp'\] == connection\.sha256_peer_certificate_digest"
    r" && bytes\(request\.headers\['doorward-session-epoch'\]\) == filter_state\['doorward\.epoch'\]"
    r" && 'doorward-session-assertion' in request\.headers"
    r" \? \((?P<all>.*?) \? '(?P<every>[a-z0-9.,]+)' : (?P<some>.*)\) : 'no'\)%"
)


def _met(slices: Mapping[str, Any], session: BoundSession | None) -> dict[str, str]:
    """Return the word of the request: the requirements of the route that the session meets."""
    if BOUND_FILTER not in slices:
        return {}
    word, _ = slices[BOUND_FILTER]["on_request_headers"]
    text = word["format_string"]["text_format_source"]["inline_string"]
    match = _WORD.fullmatch(text)
    assert match is not None, text
    if session is None:
        return {word["object_key"]: "no"}
    if all(_is_shown(one, session) for one in re.finditer(_SHOWN, match["all"])):
        return {word["object_key"]: match["every"]}
    each = re.finditer(rf"{_SHOWN} \? '([a-z0-9.]+,)' : \'\'", match["some"])
    return {word["object_key"]: "," + "".join(one[3] for one in each if _is_shown(one, session))}


def _is_shown(match: re.Match[str], session: BoundSession) -> bool:
    at = session.claims.get(match[1])
    return at is not None and (match[2] is None or session.time.timestamp() - at <= int(match[2]))


def _route_matches(
    match: Mapping[str, Any], words: Mapping[str, str], path: str, state: Mapping[str, str]
) -> bool:
    if any(not _header_matches(one, words) for one in match.get("headers", ())):
        return False
    if any(not _state_matches(one, state) for one in match.get("filter_state", ())):
        return False
    if "path_separated_prefix" in match:
        prefix = match["path_separated_prefix"]
        return path == prefix or path.startswith(prefix + "/")
    return _string_matches({key: value for key, value in match.items() if key not in _BESIDE_THE_PATH}, path)


def _header_matches(header: Mapping[str, Any], words: Mapping[str, str]) -> bool:
    value = words.get(header["name"])
    if "present_match" in header:
        return (value is not None) is header["present_match"]
    if value is None:
        if not header.get("treat_missing_header_as_empty"):
            return False
        value = ""
    return _string_matches(header["string_match"], value) is not header.get("invert_match", False)


def _state_matches(content: Mapping[str, Any], state: Mapping[str, str]) -> bool:
    return content["key"] in state and _string_matches(content["string_match"], state[content["key"]])


def _string_matches(match: Mapping[str, Any], text: str) -> bool:
    ((kind, wanted),) = match.items()
    match kind:
        case "exact" | "path":
            return bool(text == wanted)
        case "prefix":
            return text.startswith(wanted)
        case "contains":
            return wanted in text
        case "safe_regex":
            return re.fullmatch(wanted["regex"], text) is not None
    raise AssertionError(kind)


def _holds(
    principal: Mapping[str, Any], words: Mapping[str, str], path: str, state: Mapping[str, str]
) -> bool:
    ((kind, content),) = principal.items()
    match kind:
        case "any":
            return bool(content)
        case "and_ids":
            return all(_holds(one, words, path, state) for one in content["ids"])
        case "or_ids":
            return any(_holds(one, words, path, state) for one in content["ids"])
        case "not_id":
            return not _holds(content, words, path, state)
        case "filter_state":
            return _state_matches(content, state)
        case "url_path":
            return _string_matches(content["path"], path)
        case "header":
            return _header_matches(content, words)
    raise AssertionError(kind)
