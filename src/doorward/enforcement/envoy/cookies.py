"""Our own cookies: refused if doubled, and taken out before a request reaches an application.

1. Two session cookies, or two that bind a step-up to its beginning, are no browser's: the request is refused. Envoy joins the
   crumbs of HTTP/2 before (RFC 9113 section 8.2.3), and lines of HTTP/1.1 are held against the expression as one text.
2. After the rules a filter removes our cookies. It is left out for a request without one. `jwt_authn` cannot do it: its
   `forward: false` removes headers and no cookies (measured).

Envoy has no filter for single cookies. The text of the field is rewritten by an expression; the rest goes by way of another
field, because a field with an empty value would be left as it was.

Standard: RFC 6265 sections 4.2 and 5.4; RFC 6265bis section 4.1.3 (the prefix).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension, build_typed
from doorward.enforcement.envoy.headers import overwrite_header
from doorward.enforcement.envoy.names import BEGIN_COOKIE, COOKIE_FILTER, COOKIE_PREFIX, SESSION_COOKIE

_REST = "doorward-cookie"
"""Holds what is left of the field, from one mutation to the next."""

_ONE = rf"{COOKIE_PREFIX}[a-z]+=[^;,]*(?:[;,][ \t]*|$)"
_BOTH = r"\1\2"
_FIRST = rf"(?s)^(|.*?[;,][ \t]*){_ONE}(.*)$"
_TRAILING = r"(?s)^(.*?)[;, \t]*$"

DOUBLED = (
    "|".join(f"(?s).*{one}=.*{one}=.*" for one in (SESSION_COOKIE, BEGIN_COOKIE))
    + f"|(?s).*{COOKIE_PREFIX}.*{COOKIE_PREFIX}.*{COOKIE_PREFIX}.*"
)
"""A field with one of our cookies twice, or with more of them than we set."""


def build_cookie_filter() -> dict[str, Any]:
    """Return the filter that removes our cookies; it stands behind the rules."""
    cookie = "request.headers['cookie']"
    once = _extract(cookie, _FIRST, _BOTH)
    twice = f"{once}.contains('{COOKIE_PREFIX}') ? {_extract(once, _FIRST, _BOTH)} : {once}"
    rest = _extract(f"({twice})", _TRAILING, r"\1")
    removal = build_extension(
        COOKIE_FILTER,
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"append": overwrite_header(_REST, f"%CEL({rest})%")},
                {"remove": "cookie"},
                {
                    "append": {
                        **overwrite_header("cookie", f"%REQ({_REST})%"),
                        "append_action": "ADD_IF_ABSENT",
                    }
                },
                {"remove": _REST},
            ]
        },
    )
    ours = {
        "input": build_extension(
            "doorward.cookie", "type.matcher.v3.HttpRequestHeaderMatchInput", header_name="cookie"
        ),
        "value_match": {"contains": COOKIE_PREFIX},
    }
    skip = build_extension("skip", "extensions.filters.common.matcher.action.v3.SkipFilter")
    return build_extension(
        COOKIE_FILTER,
        "extensions.common.matching.v3.ExtensionWithMatcher",
        extension_config=removal,
        xds_matcher={
            "matcher_list": {
                "matchers": [
                    {
                        "predicate": {"not_matcher": {"single_predicate": ours}},
                        "on_match": {"action": skip},
                    }
                ]
            }
        },
    )


def _extract(text: str, pattern: str, rewrite: str) -> str:
    return f"re.extract({text}, r'{pattern}', r'{rewrite}')"


def build_kept_cookies() -> dict[str, Any]:
    """Return the slice of a route that leads to our own surface: it reads our cookies."""
    return {COOKIE_FILTER: build_typed("config.route.v3.FilterConfig", disabled=True)}
