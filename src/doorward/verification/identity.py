"""Certificate to principal: the name rule, and nothing else.

A certificate of ours names its holder in exactly one URI SAN, `spiffe://<trust domain>/<kind>/<name>`.
The common name, e-mail addresses and host names are for people and never decide who somebody is.
Not checked: the certificate itself. Only the verifier's steps make a name mean anything; never act on
a name before they have all passed.
Standard: RFC 5280 section 4.2.1.6; SPIFFE X.509-SVID section 2 (exactly one URI SAN).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from doorward.core.entities import Principal
from doorward.core.errors import MalformedInput
from doorward.core.names import PrincipalUri, parse_principal_uri


class SanSource(Enum):
    """Which name of a partner's certificate says who it is for."""

    EMAIL = "email"
    DNS = "dns"
    URI = "uri"
    SUBJECT = "subject"


def find_principal_uri(uris: Sequence[str]) -> PrincipalUri | None:
    """Return the one principal that the URI SANs name; None for no URI, two URIs or a foreign one.

    Two URIs are refused even where one fits: a relying party that reads the other one would see
    somebody else.
    """
    if len(uris) != 1:
        return None
    try:
        return parse_principal_uri(uris[0])
    except MalformedInput:
        return None


def is_named(uris: Sequence[str], principal: Principal, trust_domain: str) -> bool:
    """Return whether the URI SANs name this very principal in this trust domain."""
    uri = find_principal_uri(uris)
    wanted = (trust_domain, principal.kind, principal.name)
    return uri is not None and (uri.trust_domain, uri.kind, uri.name) == wanted
