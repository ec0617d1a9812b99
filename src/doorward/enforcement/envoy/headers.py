"""Header hygiene: what no client may say, what the application hears instead.

Standard: RFC 9440 section 2.4 (the proxy removes what clients send under its names), RFC 9110
section 7.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import IDENTITY_HEADERS, SOURCE, SURFACE_HEADERS
from doorward.policy.request_headers import DEFAULT_HEADER_OPTIONS, DESTINATION, OVERRIDES, HeaderOptions

CLAIMING_HEADERS = (
    # who the client is: ours to say
    "client-cert",
    "client-cert-chain",
    "remote-user",
    "x-remote-user",
    "x-client-cert",
    "x-arr-clientcert",
    # where it comes from: Envoy writes X-Forwarded-For anew; appending would keep the lie on the left
    "forwarded",
    "forwarded-for",
    "x-forwarded",
    "x-forwarder-for",
    "x-forward-for",
    "x-real-ip",
    "client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-addr",
    "x-remote-ip",
    "true-client-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    # by which host and scheme it came
    "x-host",
    "x-http-host-override",
    "x-scheme",
    "x-url-scheme",
    "x-original-for",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-path",
    "x-original-proto",
    "x-original-remote-addr",
    "x-rewrite-path",
    "script-name",
    "x-script-name",
    "front-end-https",
    # the name of this request in our record: a client could give one name to many
    "x-request-id",
    # CVE-2016-5385: CGI applications read it as HTTP_PROXY
    "proxy",
    # RFC 9113 section 3.1 took `Upgrade: h2c` away; only a proxy's own HTTP/1.1 connection may carry these
    "http2-settings",
)
"""Request headers with which a client could lie to an application behind the door."""

CLAIMING_PREFIXES = (
    "doorward-",
    "x-doorward-",
    "x-envoy-",
    "x-forwarded-",
    "x-ssl-",
    "ssl-client-",
)
"""The same by prefix. X-Forwarded-Client-Cert is not written anew: RFC 9440's Client-Cert says the same."""

LEAKING_HEADERS = ("server", "x-powered-by", "x-envoy-upstream-service-time")
"""Response headers that only help an attacker who looks for a known hole."""

NAMES_HEADER = "doorward-names"
"""Says `true` if every name of a request's headers is of letters, digits and hyphens; removed again.

CGI, FastCGI and WSGI fold every other character to one (RFC 3875 section 4.1.18): `Doorward.Principal`,
`Doorward+Principal` and `Doorward-Principal` are one variable. No matcher of Envoy 1.40 sees names, but
a mutation removes by name, and headers can be counted: if fewer are left, one had another name.
"""

ENVOYS_OWN_HEADERS = (NAMES_HEADER, "x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path")
"""Request headers that Envoy or this module adds for itself; none of them is for the application."""

_ODD_NAME = "[^:a-z0-9-].*|.[a-z0-9-]*[^a-z0-9-].*"


def build_early_mutations(terms: HeaderOptions = DEFAULT_HEADER_OPTIONS) -> list[dict[str, Any]]:
    """Return the mutations that run before anything else looks at a request."""
    extensions = [_mutation(_removal(_claims(terms.passed))), _mutation(*_name_check())]
    if terms.destination:
        # Two lines of it become one, so that the application reads what the rules saw.
        whole = {"header": {"key": DESTINATION, "value": f"%REQ({DESTINATION})%"}}
        extensions.append(_mutation({"append": {**whole, "append_action": "OVERWRITE_IF_EXISTS"}}))
    return extensions


def build_trailer_removal() -> dict[str, Any]:
    """Return the filter that drops the trailers of requests (RFC 9110 section 6.5: a proxy may).

    An HTTP/2 upstream would get them, under any name; over HTTP/1.1 Envoy drops them itself.
    """
    return build_extension(
        "doorward.trailers",
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_trailers_mutations": [_removal(".*")]},
    )


def _claims(passed: Collection[str]) -> str:
    """Return the expression for names that are removed.

    It looks at each header once; a matcher for each name would look once for every name.
    """
    prefixes = "|".join(re.escape(one) for one in CLAIMING_PREFIXES)
    names = "|".join(re.escape(one) for one in (*CLAIMING_HEADERS, *OVERRIDES) if one not in passed)
    return f"(?:{prefixes}).*|{names}"


def _name_check() -> list[dict[str, Any]]:
    """Count the headers, remove those with other names, count again; the count itself is one more."""
    count = "size(request.headers)"
    same = f"{count} - 1 == int(request.headers['{NAMES_HEADER}'])"
    return [
        {"append": overwrite_header(NAMES_HEADER, f"%CEL({count})%")},
        _removal(_ODD_NAME),
        {"append": overwrite_header(NAMES_HEADER, f"%CEL({same})%")},
    ]


def _removal(regex: str) -> dict[str, Any]:
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": regex}}}}


def _mutation(*mutations: dict[str, Any]) -> dict[str, Any]:
    return build_extension(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=list(mutations),
    )


def build_route_headers() -> dict[str, Any]:
    """Return the header part of a protected door's route table: the identity, from filter state only.

    Every header is listed for removal too: an empty value is not set, and a client's own header
    would pass in its place (measured); removal comes first.
    """
    return {
        "request_headers_to_remove": sorted((*IDENTITY_HEADERS, *ENVOYS_OWN_HEADERS)),
        "request_headers_to_add": build_identity(),
        **_response_headers(),
    }


def build_identity() -> list[dict[str, Any]]:
    """Return the headers that say who comes."""
    return [
        overwrite_header(name, f"%FILTER_STATE({fact.state_key}:PLAIN)%")
        for name, fact in sorted(IDENTITY_HEADERS.items())
    ]


def build_source() -> dict[str, Any]:
    """Return the header that says to our own surfaces where a connection comes from."""
    return overwrite_header(SOURCE, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%")


def build_portal_headers() -> dict[str, Any]:
    """Return the header part of the portal's route table: no request says who comes, unless its route adds it."""
    every = (*IDENTITY_HEADERS, *SURFACE_HEADERS, *ENVOYS_OWN_HEADERS)
    return {"request_headers_to_remove": sorted(every), **_response_headers()}


def build_open_headers() -> dict[str, Any]:
    """Return the header part of the enrolment door's route table."""
    return {
        "request_headers_to_remove": list(ENVOYS_OWN_HEADERS),
        "request_headers_to_add": [build_source()],
        **_response_headers(),
    }


def _response_headers() -> dict[str, Any]:
    return {"response_headers_to_remove": sorted((*LEAKING_HEADERS, *IDENTITY_HEADERS, *SURFACE_HEADERS))}


def overwrite_header(name: str, value: str) -> dict[str, Any]:
    """Return the HeaderValueOption that sets a header in place of every other value."""
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
