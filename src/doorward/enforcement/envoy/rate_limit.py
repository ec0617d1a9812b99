"""The rate limit: how many requests per second one certificate may send; above the limit Envoy answers 429.

Every request is a leaf of the log, so without a limit one person could fill the disk. A certificate has one token bucket at
each door, for all connections and workers of one Envoy. Anonymous connections have one bucket for each IPv4 address or
IPv6 /64.

Each request has two descriptors: judged and certificate, judged and source. Only one of them has a bucket: `judged` has three
values, and each has a bucket for one of the two. Both facts come from filter state by Envoy's own formatter. Expressions for
them cost 0.7 µs more of each request (docs/design/0108), and one that failed would have disabled the limit.

A request that fits no bucket would be one of a connection with another `judged`, which our authorizer never says. All such
requests of a door share one bucket.

Not here: how many connections a certificate may open (gateway.authorizer.judging).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import ANONYMOUS, JUDGED, ConnectionFact
from doorward.enforcement.plan import GatewayLimits

BURST_SECONDS = 10
"""A burst may have the requests of so many seconds, for a page with many parts or the start of a job."""
ANONYMOUS_PER_SECOND = 50
MOST_BUCKETS = 20_000
"""Certificates and sources with a bucket of their own; the least recently used one is dropped."""

_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_UNKNOWN = "-"
"""Stands for an empty fact, and is what Envoy writes for a missing one: the authorizer does not know, or did not answer."""
_BY_CERTIFICATE, _BY_SOURCE = "certificate", "masked_remote_address"


def build_rate_filter(limits: GatewayLimits) -> dict[str, Any]:
    """Return the rate limit filter, the first HTTP filter of a protected door."""
    judged = _fact(ConnectionFact.JUDGED, ConnectionFact.JUDGED.value, default_value=_UNKNOWN)
    by_certificate = [judged, _fact(ConnectionFact.CERTIFICATE, _BY_CERTIFICATE)]
    by_source = [judged, {_BY_SOURCE: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]
    return build_extension(
        "doorward.rate",
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="rate",
        token_bucket=_bucket(ANONYMOUS_PER_SECOND),
        always_consume_default_token_bucket=False,
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
        rate_limits=[{"actions": by_certificate}, {"actions": by_source}],
        descriptors=[
            _descriptor(JUDGED, _BY_CERTIFICATE, limits.requests_per_certificate),
            _descriptor(ANONYMOUS, _BY_SOURCE, ANONYMOUS_PER_SECOND),
            _descriptor(_UNKNOWN, _BY_SOURCE, ANONYMOUS_PER_SECOND),
        ],
        max_dynamic_descriptors=MOST_BUCKETS,
    )


def _fact(fact: ConnectionFact, key: str, **more: str) -> dict[str, Any]:
    value = f"%FILTER_STATE({fact.state_key}:PLAIN)%"
    return {"generic_key": {"descriptor_key": key, "descriptor_value": value, **more}}


def _descriptor(judged: str, key: str, per_second: int) -> dict[str, Any]:
    """Return a descriptor; an entry without a value matches every value, each with a bucket of its own."""
    return {
        "entries": [{"key": ConnectionFact.JUDGED.value, "value": judged}, {"key": key}],
        "token_bucket": _bucket(per_second),
    }


def _bucket(per_second: int) -> dict[str, Any]:
    return {
        "max_tokens": BURST_SECONDS * per_second,
        "tokens_per_fill": per_second,
        "fill_interval": "1s",
    }
