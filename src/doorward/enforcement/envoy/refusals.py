"""Routes that refuse requests before any rule is evaluated: requests with two meanings, or forbidden ones.

Each route has a name that the log shows as the reason. Not here: routes to the application (`routes`, `rules`).
Standard: RFC 9110 sections 7.2, 7.6.1, 9.1, 9.3.8 and 15.5.6; RFC 9112 section 3.2; RFC 4918 section 10.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from doorward.enforcement.envoy.cookies import REFUSED
from doorward.enforcement.envoy.headers import NAMES_HEADER
from doorward.enforcement.envoy.names import Refusal
from doorward.enforcement.envoy.rules import build_open_slice
from doorward.policy.model import METHOD
from doorward.policy.normalisation import AMBIGUOUS_PATH_REGEX
from doorward.policy.request_headers import DESTINATION, HeaderOptions

ALLOWED_ELSEWHERE = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""The Allow field of a 405 (RFC 9110 section 15.5.6): the methods that the door itself does not refuse."""

_PORT = (  # at most five digits, 1 to 65535
    "(?::(?:0{0,4}[1-9]|0{0,3}[1-9][0-9]|0{0,2}[1-9][0-9]{2}|0?[1-9][0-9]{3}|[1-5][0-9]{4}"
    "|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_ANY_HOST = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]"


def build_refusal(match: dict[str, Any], why: Refusal) -> dict[str, Any]:
    """Return a route that refuses every request that it matches."""
    return {
        "name": why.word,
        "match": match,
        "direct_response": {"status": why.status},
        "typed_per_filter_config": build_open_slice(),
    }


def build_protocol_refusals(hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the refusals of every door: for header names with other characters, and for a malformed Host.

    Envoy finds the virtual host by the text before the last colon of Host, and allows any text after it.

    Args:
        hosts: the hosts of the door; empty for any host, for requests that then get the answer "misdirected".
    """
    names = {**_other_than(NAMES_HEADER, "true"), "treat_missing_header_as_empty": True}
    host = "|".join(re.escape(one) for one in hosts) or _ANY_HOST
    authority = {**_other_than(":authority", f"(?i:{host}){_PORT}"), "treat_missing_header_as_empty": True}
    return [_by_header(names, Refusal.HEADER_NAME), _by_header(authority, Refusal.AUTHORITY)]


def build_message_refusals(unnamed: Iterable[str]) -> list[dict[str, Any]]:
    """Return the refusals of every application: for malformed methods and Connection fields.

    Args:
        unnamed: methods that must be named in an allow rule, and are in none.
    """
    # Envoy accepts `delete` over HTTP/2. A rule that denies DELETE does not match it, but an application that ignores
    # case treats it as DELETE.
    method = _other_than(":method", METHOD.pattern)
    # An upgrade could have more names in its Connection field: a proxy behind the door would remove the headers with these
    # names, such as our identity headers. For other requests Envoy removes the field.
    plain = "(?i)(?:keep-alive[ \t]*,[ \t]*)?upgrade(?:[ \t]*,[ \t]*keep-alive)?"
    return [
        _by_header(method, Refusal.METHOD),
        _by_header(_other_than("connection", plain), Refusal.CONNECTION_FIELD),
        *(_method_refusal(one) for one in sorted(unnamed)),
    ]


def build_cookie_refusal() -> dict[str, Any]:
    """Return the refusal of requests that have one of our own cookies twice."""
    return _by_header({"name": "cookie", "string_match": {"safe_regex": {"regex": REFUSED}}}, Refusal.COOKIE)


def build_destination_refusals(terms: HeaderOptions, hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the refusals of headers that name a second path; a judged Destination must be normalised."""
    routes = [
        _by_header({"name": name, "present_match": True}, Refusal.DESTINATION) for name in terms.refused
    ]
    if terms.destination:
        authority = f"(?i:https?://(?:{'|'.join(re.escape(one) for one in hosts)})(?::[0-9]{{1,5}})?)"
        elsewhere = _other_than(DESTINATION, f"(?s)(?:{authority})?/.*")
        ambiguous = [
            [_like(f"{authority}{AMBIGUOUS_PATH_REGEX}")],
            [{"name": DESTINATION, "string_match": {"prefix": "/"}}, _like(AMBIGUOUS_PATH_REGEX)],
        ]
        routes.append(_by_header(elsewhere, Refusal.DESTINATION_AMBIGUOUS))
        routes += [
            build_refusal({"prefix": "/", "headers": headers}, Refusal.DESTINATION_AMBIGUOUS)
            for headers in ambiguous
        ]
    return routes


def _method_refusal(method: str) -> dict[str, Any]:
    route = _by_header({"name": ":method", "string_match": {"exact": method}}, Refusal.METHOD_UNNAMED)
    return {**route, "response_headers_to_add": [{"header": {"key": "allow", "value": ALLOWED_ELSEWHERE}}]}


def _by_header(header: dict[str, Any], why: Refusal) -> dict[str, Any]:
    return build_refusal({"prefix": "/", "headers": [header]}, why)


def _like(regex: str) -> dict[str, Any]:
    return {"name": DESTINATION, "string_match": {"safe_regex": {"regex": regex}}}


def _other_than(name: str, regex: str) -> dict[str, Any]:
    """Match a header that is present and has a value that the regex does not match as a whole."""
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}, "invert_match": True}
