"""Whether a segment of the path is the connection's principal, told natively and once for each request.

A filter before the rules splits the path and compares the segment at each place that a rule of the route asks about
with the principal's segment, which the authorizer said of the connection. It keeps `yes` or `no` for the request; rules
match that word. If the path has no such segment, or the connection has no principal, it is neither, and a
rule that asks for either does not hold: a grant is not fulfilled, and a deny rule is not cleared.

The filter is in every chain and does nothing without a route's own configuration, so that a rule of the first such kind
changes routes only, and ends no connection (docs/design/0055).

Not here: which places those are (`rules`). Standard: CEL, with the functions that Envoy has to be asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doorward.enforcement.envoy.extension import CEL, build_extension, build_typed
from doorward.enforcement.envoy.names import OWNER_FILTER, ConnectionFact

_KIND = "extensions.filters.http.set_filter_state.v3.Config"


def build_owner_filter() -> dict[str, Any]:
    """Return the filter as a connection manager has it."""
    return build_extension(OWNER_FILTER, _KIND)


def build_owner_slice(places: Iterable[int]) -> dict[str, Any]:
    """Return what one route compares, as its `typed_per_filter_config`; places count from 0."""
    asked = sorted(set(places))
    return (
        {OWNER_FILTER: build_typed(_KIND, on_request_headers=[_compare(one) for one in asked])}
        if asked
        else {}
    )


def is_owner(place: int) -> dict[str, Any]:
    """Match requests whose segment at a place is the principal's."""
    return _told(place, "yes")


def is_not_owner(place: int) -> dict[str, Any]:
    """Match requests whose segment at a place is certainly not the principal's."""
    return _told(place, "no")


def _told(place: int, word: str) -> dict[str, Any]:
    return {"filter_state": {"key": _key(place), "string_match": {"exact": word}}}


def _compare(place: int) -> dict[str, Any]:
    # The path begins with a slash: what stands before that is the first part.
    segment = f"request.url_path.split('/')[{place + 1}]"
    text = f"%CEL({segment} == string(filter_state['{ConnectionFact.OWNER.state_key}']) ? 'yes' : 'no')%"
    source = {"text_format_source": {"inline_string": text}, "formatters": [CEL]}
    return {"object_key": _key(place), "factory_key": "envoy.string", "format_string": source}


def _key(place: int) -> str:
    return f"{OWNER_FILTER}.{place}"
