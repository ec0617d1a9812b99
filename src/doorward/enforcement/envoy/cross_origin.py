"""Requests from pages of other sites: foreign origins are refused, and the door answers preflights.

A browser sends a person's certificate with the requests of every page; certificates have no SameSite attribute. So a request
that may change something, and every upgrade, must come from the application's own pages or from a listed site. Programs send
no Origin, and are accepted.

1. Unsafe requests are those with another method than GET, HEAD and OPTIONS (RFC 9110 section 9.2.1), and those with an Upgrade
   field: a WebSocket handshake, also as extended CONNECT (RFC 8441), which Envoy converts to that form.
2. An unsafe request is refused if its Origin is neither own nor listed. Origins are compared as a whole, octet by octet; two
   Origin lines are joined by a comma and match nothing.
3. `Origin: null` is accepted only with `Sec-Fetch-Site: same-origin`: browsers send this from a page with the referrer policy
   no-referrer. No page can set that field (W3C Fetch Metadata section 2.4).
4. Without an Origin, a `Sec-Fetch-Site` other than `same-origin` and `none` is refused.
5. If sites are listed, the door answers their preflights (OPTIONS with Origin and Access-Control-Request-Method; Fetch
   section 4.8) and refuses all other preflights. A preflight has no certificate, so it comes over an anonymous connection;
   the request itself still needs a certificate.

Standard: RFC 6454; Fetch sections 3.1 and 3.2; W3C Fetch Metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed, switch_off
from doorward.enforcement.envoy.headers import overwrite_header
from doorward.enforcement.envoy.names import FOREIGN_ORIGIN, PREFLIGHT, PREFLIGHT_REFUSED
from doorward.enforcement.envoy.rules import build_open_slice
from doorward.enforcement.plan import HttpDoor, PortalDoor

CORS_FILTER = "doorward.cors"
PREFLIGHT_SECONDS = 600
"""How long a browser may cache the answer to a preflight."""

APPLICATIONS_OWN = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
)
"""Response headers that the door sets instead of the application; Access-Control-Expose-Headers stays the application's."""

_SAFE_METHOD = "GET|HEAD|OPTIONS"
_Match = dict[str, Any]


def build_cross_origin_routes(door: HttpDoor | PortalDoor) -> list[dict[str, Any]]:
    """Return the routes for requests from other sites, in the order in which they are tried."""
    routes = []
    if door.origins:
        listed = _matches("origin", _any_of(door.origins))
        routes += [
            _answer(PREFLIGHT, [*_preflight(), listed], 204, _preflight_headers()),
            _answer(PREFLIGHT_REFUSED, [*_preflight(), _present("origin")], 403),
        ]
    known = _any_of((*door.own_origins, *door.origins, "null"))
    same = _any_of(("same-origin",))
    foreign = (
        [_matches("origin", known, inverted=True)],
        [_matches("origin", "null"), _matches("sec-fetch-site", same, inverted=True, absent=True)],
        [_absent("origin"), _matches("sec-fetch-site", _any_of(("same-origin", "none")), inverted=True)],
    )
    unsafe = (_matches(":method", _SAFE_METHOD, inverted=True), _present("upgrade"))
    return [
        *routes,
        *(_answer(FOREIGN_ORIGIN, [what, *where], 403) for what in unsafe for where in foreign),
    ]


def build_embedding_refusals() -> list[dict[str, Any]]:
    """Return the routes that refuse requests of other sites' pages, except navigations by a person.

    A person who follows a link navigates a whole window. Frames, images, scripts and fetches of other sites' pages are
    refused; those of our own pages are accepted.
    Standard: W3C Fetch Metadata sections 2.1 to 2.4.
    """
    elsewhere = _matches("sec-fetch-site", "cross-site|same-site")
    windows = (
        _matches("sec-fetch-mode", "navigate", inverted=True),
        _matches("sec-fetch-dest", "document", inverted=True),
    )
    return [_answer(FOREIGN_ORIGIN, [elsewhere, other], 403) for other in windows]


def build_cors_filter() -> dict[str, Any]:
    """Return the filter that lets listed sites read answers; the list of sites is in the route table."""
    return build_extension(CORS_FILTER, "extensions.filters.http.cors.v3.Cors")


def add_cors_policy(table: dict[str, Any], door: HttpDoor) -> dict[str, Any]:
    """Return a route table that lets the listed sites read answers, and drops the application's own CORS headers."""
    if not door.origins:
        return table
    policy = build_typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": one} for one in door.origins],
        allow_credentials=True,
    )
    own, *others = table["virtual_hosts"]
    vary = {**overwrite_header("vary", "Origin"), "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    return {
        **table,
        "response_headers_to_remove": [*table["response_headers_to_remove"], *APPLICATIONS_OWN],
        # A cache must not give one site's answer to another site.
        "virtual_hosts": [
            {
                **own,
                "typed_per_filter_config": {**own.get("typed_per_filter_config", {}), CORS_FILTER: policy},
                "response_headers_to_add": [vary],
            },
            *others,
        ],
    }


def _answer(
    name: str, headers: list[_Match], status: int, answers: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    slices = build_open_slice()
    if answers:
        # Envoy's CORS filter would answer preflights itself, without the requested headers.
        slices[CORS_FILTER] = switch_off()
    return {
        "name": name,
        "match": {"prefix": "/", "headers": headers},
        "direct_response": {"status": status},
        "typed_per_filter_config": slices,
        **({"response_headers_to_add": answers} if answers else {}),
    }


def _preflight() -> list[_Match]:
    return [_matches(":method", "OPTIONS"), _present("access-control-request-method")]


def _preflight_headers() -> list[dict[str, Any]]:
    """Return the headers that allow the requested method and headers by name; the rules judge the request itself."""
    values = {
        "access-control-allow-origin": "%REQ(ORIGIN)%",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "%REQ(ACCESS-CONTROL-REQUEST-METHOD)%",
        "access-control-allow-headers": "%REQ(ACCESS-CONTROL-REQUEST-HEADERS)%",
        "access-control-max-age": str(PREFLIGHT_SECONDS),
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }
    return [overwrite_header(name, value) for name, value in values.items()]


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(one) for one in texts)


def _matches(name: str, regex: str, *, inverted: bool = False, absent: bool = False) -> _Match:
    """Match a field by its whole value, or by a value that does not match (`inverted`).

    A missing field does not match. With `absent` it counts as empty.
    """
    match: _Match = {"name": name, "string_match": {"safe_regex": {"regex": regex}}}
    return {
        **match,
        **({"invert_match": True} if inverted else {}),
        **({"treat_missing_header_as_empty": True} if absent else {}),
    }


def _present(name: str) -> _Match:
    return {"name": name, "present_match": True}


def _absent(name: str) -> _Match:
    return {"name": name, "present_match": False}
