"""Our own cookies: a request with two of the same name is refused, and no cookie of ours reaches an application.

1. No browser sends two session cookies, or two cookies of the beginning of a step-up: such a request is refused. Envoy joins
   the parts of the field in HTTP/2 first (RFC 9113 section 8.2.3). Several lines of the field in HTTP/1.1 are matched as one
   text, joined by commas; if one of our cookies is in such a field, the request is refused too, because a client must not
   send several Cookie fields (RFC 6265 section 5.4).
2. After the rules, two filters remove our cookies. They are skipped for a request without one. `jwt_authn` cannot do it: its
   `forward: false` removes headers, but no cookies (measured).

Envoy has no filter for single cookies. The first filter writes the rest of the field into filter state, by an expression. The
second replaces the field with it; if nothing is left, the field is removed. Expressions with `re.extract` cost ten times as
much.

Standard: RFC 6265 sections 4.2 and 5.4; RFC 6265bis section 4.1.3 (the prefix).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import CEL, build_extension, switch_off
from doorward.enforcement.envoy.names import BEGIN_COOKIE, COOKIE_FILTERS, COOKIE_PREFIX, SESSION_COOKIE

_REST = "doorward.cookies"
"""The key of the rest of the field in filter state."""

REFUSED = "|".join(
    (
        *(f"(?s).*{one}=.*{one}=.*" for one in (SESSION_COOKIE, BEGIN_COOKIE)),
        f"(?s).*{COOKIE_PREFIX}.*{COOKIE_PREFIX}.*{COOKIE_PREFIX}.*",
        rf"(?s).*,[ \t]*{COOKIE_PREFIX}.*",
        f"(?s).*{COOKIE_PREFIX}[a-z]+=[^;]*,.*",
        rf"(?s).*;(?:[ \t]{{2,}}|\t){COOKIE_PREFIX}.*",
    )
)
"""A field with one of our cookies twice, with more of them than we set, in a field of several lines, or after other white
space than one space: Envoy would read the cookie, but the filters would not remove it."""


def build_cookie_filters() -> list[dict[str, Any]]:
    """Return the filters that remove our cookies; they come after the rules."""
    source = {"text_format_source": {"inline_string": f"%CEL({_rest_of_field()})%"}, "formatters": [CEL]}
    kept = {"object_key": _REST, "factory_key": "envoy.string", "format_string": source}
    put = {
        "header": {"key": "cookie", "value": f"%FILTER_STATE({_REST}:PLAIN)%"},
        "append_action": "ADD_IF_ABSENT",
    }
    first, second = COOKIE_FILTERS
    return [
        _if_ours(
            build_extension(
                first, "extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[kept]
            )
        ),
        _if_ours(
            build_extension(
                second,
                "extensions.filters.http.header_mutation.v3.HeaderMutation",
                mutations={"request_mutations": [{"remove": "cookie"}, {"append": put}]},
            )
        ),
    ]


def _rest_of_field() -> str:
    """Return the expression for a field with one or two of our cookies; a field with more was refused before.

    Usually only the session's cookie is there. It is removed with few operations, because each costs a third of a
    microsecond.
    """
    field, own = "request.headers['cookie']", f"{SESSION_COOKIE}="
    first = f"{field}.contains(';') ? {field}.split(';', 2)[1].trim() : ''"
    around = f"{field}.split('; {own}', 2)"
    later = (
        f"{around}[1].contains('; ') ? [{around}[0], {around}[1].split('; ', 2)[1]].join('; ') : {around}[0]"
    )
    return (
        f"{field}.contains('{BEGIN_COOKIE}') ? ({_rest_of_any(field)})"
        f" : {field}.startsWith('{own}') ? ({first})"
        f" : {field}.contains('; {own}') ? ({later}) : ({_rest_of_any(field)})"
    )


def _rest_of_any(field: str) -> str:
    """Return the expression for any field: it writes one cookie per line, and removes the lines of our cookies."""
    lines = rf"['\n', {field}.replace('; ', '\n').replace(';', '\n'), '\n'].join('')"
    parts = rf"{lines}.split('\n{COOKIE_PREFIX}')"

    def after(part: int) -> str:
        return rf"[{parts}[{part}], '\n'].join('').split('\n', 2)[1]"

    def whole(*pieces: str) -> str:
        return rf"[{', '.join(pieces)}].join('\n').trim().replace('\n\n', '\n').replace('\n', '; ')"

    one, two = whole(f"{parts}[0]", after(1)), whole(f"{parts}[0]", after(1), after(2))
    # A cookie with a name that only ends like ours makes no part.
    return f"size({parts}) == 2 ? {one} : size({parts}) == 3 ? {two} : {field}"


def _if_ours(extension: dict[str, Any]) -> dict[str, Any]:
    """Return a filter that is skipped for a request without one of our cookies."""
    ours = {
        "input": build_extension(
            "doorward.cookie", "type.matcher.v3.HttpRequestHeaderMatchInput", header_name="cookie"
        ),
        "value_match": {"contains": COOKIE_PREFIX},
    }
    skip = build_extension("skip", "extensions.filters.common.matcher.action.v3.SkipFilter")
    skipped = {"predicate": {"not_matcher": {"single_predicate": ours}}, "on_match": {"action": skip}}
    return build_extension(
        extension["name"],
        "extensions.common.matching.v3.ExtensionWithMatcher",
        extension_config=extension,
        xds_matcher={"matcher_list": {"matchers": [skipped]}},
    )


def build_kept_cookies() -> dict[str, Any]:
    """Return the per-route configuration that disables the filters: our own surface reads our cookies."""
    return {one: switch_off() for one in COOKIE_FILTERS}
