"""The rate limit: how many requests per second one certificate may send; above the limit Envoy answers 429.

Every request is a leaf of the log, so without a limit one person could fill the disk. A certificate has one token bucket at
each door, for all connections and workers of one Envoy. Anonymous connections have one bucket for each IPv4 address or
IPv6 /64.

Each request has two descriptors: kind and certificate, kind and source. Only the one that fits the kind has a bucket. The
expressions use no lists or maps, because Envoy's CEL cannot build them, and a failed expression would disable the limit. For
CEL, filter state is bytes and never equals a string (measured).

Not here: how many connections a certificate may open (gateway.authorizer.judging).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.enforcement.plan import GatewayLimits

BURST_SECONDS = 10
"""A burst may have the requests of so many seconds, for a page with many parts or the start of a job."""
ANONYMOUS_PER_SECOND = 50
MOST_BUCKETS = 20_000
"""Certificates and sources with a bucket of their own; the least recently used one is dropped."""

_NO_LIMIT = {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_KNOWN, _ANONYMOUS = "known", "anonymous"
_JUDGED = f"filter_state['{ConnectionFact.JUDGED.state_key}']"
_CERTIFICATE = f"filter_state['{ConnectionFact.CERTIFICATE.state_key}']"


def build_rate_filter(limits: GatewayLimits) -> dict[str, Any]:
    """Return the rate limit filter, the first HTTP filter of a protected door."""
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
    """Return a descriptor; an entry without a value matches every value, each with a bucket of its own."""
    return {
        "entries": [{"key": "kind", "value": kind}, {"key": key}],
        "token_bucket": {
            "max_tokens": BURST_SECONDS * per_second,
            "tokens_per_fill": per_second,
            "fill_interval": "1s",
        },
    }
