"""`{principal}` in paths: Envoy compares segments of the path with the principal's name, once for each request.

A filter before the rules splits the path. For each position that a rule of the route uses, it compares the segment with
the principal's segment, a fact from the authorizer. It keeps `yes` or `no` for the request, and the rules match this word.
If the path has no such segment, or the connection has no principal, there is neither word. Then a condition on either does
not hold: an allow rule does not allow, and a deny rule is not cleared.

The filter is in every chain and does nothing without a route's own configuration. So the first rule with `{principal}`
changes routes only, and ends no connection (docs/design/0055).

Not here: the positions (`rules`). Standard: CEL, with Envoy's optional string functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doorward.enforcement.envoy.extension import CEL, await_route, build_extension, build_typed
from doorward.enforcement.envoy.names import OWNER_FILTER, ConnectionFact

_KIND = "extensions.filters.http.set_filter_state.v3.Config"


def build_owner_filter() -> dict[str, Any]:
    """Return the filter as a connection manager has it: it runs only on routes with `build_owner_slice`."""
    return await_route(build_extension(OWNER_FILTER, _KIND))


def build_owner_slice(places: Iterable[int]) -> dict[str, Any]:
    """Return the `typed_per_filter_config` of a route that compares these positions; they count from 0."""
    asked = sorted(set(places))
    return (
        {OWNER_FILTER: build_typed(_KIND, on_request_headers=[_compare(one) for one in asked])}
        if asked
        else {}
    )


def is_owner(place: int) -> dict[str, Any]:
    """Match requests with the principal's segment at a position."""
    return _match_word(place, "yes")


def is_not_owner(place: int) -> dict[str, Any]:
    """Match requests with certainly another segment than the principal's at a position."""
    return _match_word(place, "no")


def _match_word(place: int, word: str) -> dict[str, Any]:
    return {"filter_state": {"key": _key(place), "string_match": {"exact": word}}}


def _compare(place: int) -> dict[str, Any]:
    # The path begins with a slash, so the first part of the split is empty.
    segment = f"request.url_path.split('/')[{place + 1}]"
    text = f"%CEL({segment} == string(filter_state['{ConnectionFact.OWNER.state_key}']) ? 'yes' : 'no')%"
    source = {"text_format_source": {"inline_string": text}, "formatters": [CEL]}
    return {"object_key": _key(place), "factory_key": "envoy.string", "format_string": source}


def _key(place: int) -> str:
    return f"{OWNER_FILTER}.{place}"
