"""Header hygiene: what no client may say, what the application hears instead.

Standard: RFC 9440 section 2.4 (the proxy removes what clients send under its names), RFC 9110
section 7.6.1.
"""

from __future__ import annotations

import re
from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import IDENTITY_HEADERS

CLAIMING_HEADERS = (
    # who the client is: ours to say
    "client-cert",
    "client-cert-chain",
    "remote-user",
    "x-remote-user",
    # where it comes from: Envoy writes X-Forwarded-For anew; appending would keep the lie on the left
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    # what it asks for: rules are about the method and path of the request line, nothing else
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    # the name of this request in our record: a client could give one name to many
    "x-request-id",
    # CVE-2016-5385: CGI applications read it as HTTP_PROXY
    "proxy",
)
"""Request headers with which a client could lie to an application behind the door."""

CLAIMING_PREFIXES = ("doorward-", "x-doorward-", "x-envoy-", "x-forwarded-", "x-ssl-client-", "ssl-client-")
"""The same by prefix. X-Forwarded-Client-Cert is not written anew: RFC 9440's Client-Cert says the same."""

LEAKING_HEADERS = ("server", "x-powered-by", "x-envoy-upstream-service-time")
"""Response headers that only help whoever looks for a known hole."""


def build_early_mutations() -> list[dict[str, Any]]:
    """Return the mutation that runs before anything else looks at a request."""
    # One expression looks at each header once; a matcher for each name would look once for every name.
    prefixes = "|".join(re.escape(one) for one in CLAIMING_PREFIXES)
    names = "|".join(re.escape(one) for one in CLAIMING_HEADERS)
    matcher = {"safe_regex": {"regex": f"(?:{prefixes}).*|{names}"}}
    return [
        build_extension(
            "envoy.http.early_header_mutation.header_mutation",
            "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations=[{"remove_on_match": {"key_matcher": matcher}}],
        )
    ]


def build_route_headers() -> dict[str, Any]:
    """Return the header part of a protected door's route table: the identity, from filter state only.

    Every header is listed for removal too: an empty value is not set, and a client's own header
    would pass in its place (measured); removal comes first.
    """
    return {
        "request_headers_to_remove": sorted(IDENTITY_HEADERS),
        "request_headers_to_add": [
            _overwrite(name, f"%FILTER_STATE({fact.state_key}:PLAIN)%")
            for name, fact in sorted(IDENTITY_HEADERS.items())
        ],
        "response_headers_to_remove": list(LEAKING_HEADERS),
    }


def _overwrite(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
