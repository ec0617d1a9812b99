"""How many requests a second one certificate may send: beyond that Envoy answers 429 by itself.

Not here: how many connections it may open (gateway.authorizer.judging). Every request is a leaf of the record, so
without a limit one person could fill the disk. The bucket belongs to the certificate at this door, over all
connections and workers of one Envoy; anonymous connections have one for each IPv4 address or IPv6 /64.

Each request is described in two ways, by its kind and its certificate and by its kind and its source, and only
the one that fits its kind has a bucket. Expressions hold no lists or maps: Envoy's CEL builds none, and an
expression that fails leaves the limit out; filter state is bytes to it, never equal to a text (measured).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.enforcement.plan import GatewayLimits

BURST_SECONDS = 10
"""A page with many parts, or a job that begins, may send so many seconds' worth at once."""
ANONYMOUS_PER_SECOND = 50
MOST_BUCKETS = 20_000
"""Certificates and sources with a bucket of their own; the one that was used least lately is forgotten."""

_NO_LIMIT = {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_KNOWN, _ANONYMOUS = "known", "anonymous"
_JUDGED = f"filter_state['{ConnectionFact.JUDGED.state_key}']"
_CERTIFICATE = f"filter_state['{ConnectionFact.CERTIFICATE.state_key}']"


def build_rate_filter(limits: GatewayLimits) -> dict[str, Any]:
    """Return the HTTP filter that stands before all others of a protected door."""
    kind = _expression("kind", f"{_JUDGED} == b'{JUDGED}' ? '{_KNOWN}' : '{_ANONYMOUS}'")
    by_certificate = [kind, _expression("certificate", _CERTIFICATE)]
    by_source = [kind, {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]
    return build_extension(
        "doorward.rate",
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="rate",
        token_bucket=_NO_LIMIT,
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
        rate_limits=[{"actions": by_certificate}, {"actions": by_source}],
        descriptors=[
            _bucket(_KNOWN, "certificate", limits.requests_per_certificate),
            _bucket(_ANONYMOUS, "masked_remote_address", ANONYMOUS_PER_SECOND),
        ],
        max_dynamic_descriptors=MOST_BUCKETS,
    )


def _expression(key: str, text: str) -> dict[str, Any]:
    kind = "extensions.rate_limit_descriptors.expr.v3.Descriptor"
    return {
        "extension": build_extension("envoy.rate_limit_descriptors.expr", kind, descriptor_key=key, text=text)
    }


def _bucket(kind: str, key: str, per_second: int) -> dict[str, Any]:
    """An entry without a value stands for every value, each with a bucket of its own."""
    return {
        "entries": [{"key": "kind", "value": kind}, {"key": key}],
        "token_bucket": {
            "max_tokens": BURST_SECONDS * per_second,
            "tokens_per_fill": per_second,
            "fill_interval": "1s",
        },
    }
