"""The JSON form of Envoy's extensions with their typed configuration, and of durations.

Standard: google.protobuf.Any and Duration in proto3 JSON.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any


def build_typed(kind: str, **config: Any) -> dict[str, Any]:
    """Return a message with its type; `kind` is the message name below `envoy.`."""
    return {"@type": f"type.googleapis.com/envoy.{kind}", **config}


def build_extension(name: str, kind: str, **config: Any) -> dict[str, Any]:
    """Return a named extension with its typed configuration."""
    return {"name": name, "typed_config": build_typed(kind, **config)}


def await_route(http_filter: dict[str, Any]) -> dict[str, Any]:
    """Return an HTTP filter that runs only on routes with a configuration for it, for example a slice of rules.

    Envoy does not even create it on other routes. An idle filter costs about a microsecond of each request (docs/design/0108).
    Only for filters without which less is allowed: a route that lost its configuration must not be open.
    """
    return {**http_filter, "disabled": True}


def switch_off() -> dict[str, Any]:
    """Return what a route's `typed_per_filter_config` has for an HTTP filter that does not run on it: Envoy does not create it."""
    return build_typed("config.route.v3.FilterConfig", disabled=True)


def render_duration(span: timedelta) -> str:
    """Return a duration as proto3 JSON writes it, to the microsecond."""
    micros = span // timedelta(microseconds=1)
    text = f"{micros // 1_000_000}.{micros % 1_000_000:06d}".rstrip("0").rstrip(".")
    return f"{text}s"


ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
"""The source of a resource: the stream of the gateway's discovery service, which is also the bootstrap's (ADS)."""

AWAITED: dict[str, Any] = {**ADS, "initial_fetch_timeout": "2s"}
"""The same for a resource that a listener names. With Envoy's default, a missing one would delay the listener, and with it
every other change of the listener, by 15 s (measured)."""

CEL = build_extension(
    "envoy.formatter.cel",
    "extensions.formatter.cel.v3.Cel",
    cel_config={"enable_string_conversion": True, "enable_string_functions": True},
)
"""The formatter of `%CEL(...)%` that allows `string(...)`; Envoy's built-in one has no conversions."""
