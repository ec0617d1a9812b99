"""Request and response headers: removes headers that a client must not send, and adds the identity headers.

Standard: RFC 9440 section 2.4 (the proxy removes its own header fields from clients' requests), RFC 9110 section 7.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import IDENTITY_HEADERS, SOURCE, SURFACE_HEADERS
from doorward.policy.request_headers import DEFAULT_HEADER_OPTIONS, DESTINATION, OVERRIDES, HeaderOptions

CLAIMING_HEADERS = (
    # who the client is: only the door says this
    "client-cert",
    "client-cert-chain",
    "remote-user",
    "x-remote-user",
    "x-client-cert",
    "x-arr-clientcert",
    # where it comes from: Envoy replaces X-Forwarded-For; appending would keep the client's false value on the left
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
    # the host and scheme of the request
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
    # the id of this request in our log: a client could send the same id many times
    "x-request-id",
    # CVE-2016-5385: CGI applications read it as the variable HTTP_PROXY
    "proxy",
    # RFC 9113 section 3.1 removed `Upgrade: h2c`; only a proxy's own HTTP/1.1 connection may have this
    "http2-settings",
)
"""Request headers with which a client could deceive an application behind the door."""

CLAIMING_PREFIXES = (
    "doorward-",
    "x-doorward-",
    "x-envoy-",
    "x-forwarded-",
    "x-ssl-",
    "ssl-client-",
)
"""The same by prefix. The door does not write X-Forwarded-Client-Cert: RFC 9440's Client-Cert has the same content."""

LEAKING_HEADERS = ("server", "x-powered-by", "x-envoy-upstream-service-time")
"""Response headers that only help an attacker who looks for a known vulnerability."""

NAMES_HEADER = "doorward-names"
"""It is `true` if every header name of a request has only letters, digits and hyphens; it is removed again.

CGI, FastCGI and WSGI replace every other character by `_` (RFC 3875 section 4.1.18): `Doorward.Principal`,
`Doorward+Principal` and `Doorward-Principal` become one variable. No matcher of Envoy 1.40 sees names, but a mutation can
remove headers by name, and headers can be counted: if fewer are left, one had another character.
"""

ENVOYS_OWN_HEADERS = (NAMES_HEADER, "x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path")
"""Request headers that Envoy or this module adds for its own use; the application gets none of them."""

_ODD_NAME = "[^:a-z0-9-].*|.[a-z0-9-]*[^a-z0-9-].*"


def build_early_mutations(terms: HeaderOptions = DEFAULT_HEADER_OPTIONS) -> list[dict[str, Any]]:
    """Return the mutations that run before any other part of Envoy reads the request."""
    extensions = [_mutation(_removal(_claims(terms.passed))), _mutation(*_name_check())]
    if terms.destination:
        # Two lines of the field become one, so that the application reads the same value as the rules.
        whole = {"header": {"key": DESTINATION, "value": f"%REQ({DESTINATION})%"}}
        extensions.append(_mutation({"append": {**whole, "append_action": "OVERWRITE_IF_EXISTS"}}))
    return extensions


def build_trailer_removal() -> dict[str, Any]:
    """Return the filter that drops the trailers of requests (RFC 9110 section 6.5: a proxy may).

    An HTTP/2 upstream would get them, under any name; over HTTP/1.1 Envoy drops them itself. The filter is in every chain of an
    application: if an upstream changes to HTTP/2, connections from before go on with their chain until they are drained.
    """
    return build_extension(
        "doorward.trailers",
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_trailers_mutations": [_removal(".*")]},
    )


def _claims(passed: Collection[str]) -> str:
    """Return the regex for names that are removed.

    One regex looks at each header once; a matcher for each name would look at each header once for every name.
    """
    prefixes = "|".join(re.escape(one) for one in CLAIMING_PREFIXES)
    names = "|".join(re.escape(one) for one in (*CLAIMING_HEADERS, *OVERRIDES) if one not in passed)
    return f"(?:{prefixes}).*|{names}"


def _name_check() -> list[dict[str, Any]]:
    """Count the headers, remove those with other characters in their names, and count again; the count is one header more."""
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
    """Return the header part of a protected door's route table: the identity headers, from filter state only.

    Every identity header is removed first. Envoy does not set an empty value, so without the removal the client's own
    header would pass (measured).
    """
    return {
        "request_headers_to_remove": sorted((*IDENTITY_HEADERS, *ENVOYS_OWN_HEADERS)),
        "request_headers_to_add": build_identity(),
        **_response_headers(),
    }


def build_identity() -> list[dict[str, Any]]:
    """Return the identity headers."""
    return [
        overwrite_header(name, f"%FILTER_STATE({fact.state_key}:PLAIN)%")
        for name, fact in sorted(IDENTITY_HEADERS.items())
    ]


def build_source() -> dict[str, Any]:
    """Return the header that tells our own surfaces the peer's address."""
    return overwrite_header(SOURCE, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%")


def build_portal_headers() -> dict[str, Any]:
    """Return the header part of the portal's route table: only a route adds identity headers."""
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
