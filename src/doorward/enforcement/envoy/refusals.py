"""Routes that answer by themselves, before any rule: requests that mean two things, or ask for too much.

Each has a name that the log shows as the reason. Not here: what passes (`routes`, `rules`).
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
"""The Allow field of a 405 (RFC 9110 section 15.5.6): what the door itself has nothing against."""

_PORT = (  # at most five digits, 1 to 65535
    "(?::(?:0{0,4}[1-9]|0{0,3}[1-9][0-9]|0{0,2}[1-9][0-9]{2}|0?[1-9][0-9]{3}|[1-5][0-9]{4}"
    "|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_ANY_HOST = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]"


def build_refusal(match: dict[str, Any], why: Refusal) -> dict[str, Any]:
    """Return a route that refuses what it matches, for every caller."""
    return {
        "name": why.word,
        "match": match,
        "direct_response": {"status": why.status},
        "typed_per_filter_config": build_open_slice(),
    }


def build_protocol_refusals(hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what every door refuses: odd header names, and a Host that is no host and port.

    Envoy looks for the virtual host by what stands before the last colon, with any text after it.

    Args:
        hosts: of the door; none if any host may be asked for, to be told that it is misdirected.
    """
    names = {**_other_than(NAMES_HEADER, "true"), "treat_missing_header_as_empty": True}
    host = "|".join(re.escape(one) for one in hosts) or _ANY_HOST
    authority = {**_other_than(":authority", f"(?i:{host}){_PORT}"), "treat_missing_header_as_empty": True}
    return [_by_header(names, Refusal.HEADER_NAME), _by_header(authority, Refusal.AUTHORITY)]


def build_message_refusals(unnamed: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is refused of any application's requests: odd methods and Connection fields.

    Args:
        unnamed: methods that only a rule could allow, and none does.
    """
    # A method in another case, which HTTP/2 lets through: a rule that denies DELETE does not see
    # `delete`, and an application that folds the case does.
    method = _other_than(":method", METHOD.pattern)
    # An upgrade with more names in its Connection field: a proxy behind the door would remove those headers,
    # our identity headers among them. Envoy drops the field of other requests.
    plain = "(?i)(?:keep-alive[ \t]*,[ \t]*)?upgrade(?:[ \t]*,[ \t]*keep-alive)?"
    return [
        _by_header(method, Refusal.METHOD),
        _by_header(_other_than("connection", plain), Refusal.CONNECTION_FIELD),
        *(_method_refusal(one) for one in sorted(unnamed)),
    ]


def build_cookie_refusal() -> dict[str, Any]:
    """Return what is refused of cookies: two of our own with one name."""
    return _by_header({"name": "cookie", "string_match": {"safe_regex": {"regex": REFUSED}}}, Refusal.COOKIE)


def build_destination_refusals(terms: HeaderOptions, hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is refused of headers that name a second path; a judged Destination is in normal form."""
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
    """Match a header that is there and that the expression does not match as a whole."""
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}, "invert_match": True}
