"""Names of principals and groups, of trust domains and hosts.

Not here: names as certificates write them (`certificate_names`), whether a name belongs to a principal
(verification.identity), and which names a kind of certificate may carry (pki.profiles). Only DNS names are
converted to lower case. Any other name that is not in its one spelling is refused, with a hint that says how to
write it, so that two spellings never mean one principal.
Standard: RFC 5280 sections 4.1.2.4 and 4.2.1.6, RFC 4514, RFC 1123 section 2.1, SPIFFE-ID section 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput

OWN_AUTHORITY = "own"
"""The name of our own authority in a policy document. Partners have names of their own."""

ENROL_LABEL = "enroll"
EST_LABEL = "est"
PORTAL_LABEL = "portal"
OWN_LABELS = (ENROL_LABEL, EST_LABEL, PORTAL_LABEL)
"""Hosts of our own below the trust domain. An application there would receive the one-time links of people."""

PORTAL_APPLICATION = "app_portal"
"""The id under which connections to the portal are judged; no application of a policy document has it."""

PORTAL_AUDIENCE = "portal"
"""The audience of assertions for the portal; no application of a policy document may have this name."""

COMMON_NAME_LIMIT = 64
"""RFC 5280 appendix A, ub-common-name; ub-organization-name has the same value."""

_PRINCIPAL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
IDENTITY_LIMIT = 200
"""Characters of the identity of a partner's principal, without the partner's name."""

_IDENTITY = re.compile(rf"[!#-+\--\[\]-~]{{1,{IDENTITY_LIMIT}}}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_URI_SCHEME = "spiffe://"
_URI_LIMIT = 2048  # SPIFFE-ID section 2.3
_HOST_LIMIT = 253  # RFC 1035 section 2.3.4: 255 octets on the wire
_KINDS = {kind.value: kind for kind in PrincipalKind}


def parse_principal_name(text: str) -> str:
    """Return `text` if it is a name of a principal or group: `[a-z0-9][a-z0-9._-]{0,62}`.

    Raises:
        MalformedInput: `name-malformed`. Upper case is refused, not converted, so that `Alice` in a policy and
            `alice` in the directory are never one name in one place and two names in another.
    """
    if _PRINCIPAL.fullmatch(text):
        return text
    lower = text.lower()
    hint = "use a-z, 0-9, '.', '_' and '-', at most 63 characters, and begin with a letter or digit"
    if _PRINCIPAL.fullmatch(lower):
        hint = f"names are lower case: write {lower}"
    raise MalformedInput("name-malformed", f"{text[:80]!a} is not a usable name", hint=hint)


def parse_partner_identity(text: str) -> str:
    """Return `text` if it can be the identity of a partner's principal.

    It has 1 to 200 characters of printable ASCII without space, double quotation mark, backslash and comma: the name
    is written into headers, lists and logs, and must not end any of them early. An apostrophe is allowed, because it
    is a letter of mailboxes (RFC 5321 section 4.1.2, `o'brien`) and quotes nothing in these places.

    Raises:
        MalformedInput: `partner-identity-malformed`.
    """
    if _IDENTITY.fullmatch(text):
        return text
    hint = "write 1 to 200 characters of printable ASCII, without space, double quotation mark, backslash or comma"
    raise MalformedInput(
        "partner-identity-malformed",
        f"{text[:80]!a} cannot be an identity of a partner's principal",
        hint=hint,
    )


def parse_partner_principal_name(text: str) -> tuple[str, str]:
    """Return the partner's name and the identity in `<partner>/<identity>`, split at the first `/`.

    One identity under two authorities is two names. Neither equals a name of our own, because our names contain
    no `/`.

    Raises:
        MalformedInput: `name-malformed` (the partner's name) or `partner-identity-malformed`.
    """
    partner, _, identity = text.partition("/")
    return parse_principal_name(partner), parse_partner_identity(identity)


def render_partner_principal_name(partner: str, identity: str) -> str:
    """Return `<partner>/<identity>`; raise `MalformedInput` if a part is malformed."""
    return f"{parse_principal_name(partner)}/{parse_partner_identity(identity)}"


def parse_dns_name(text: str, *, wildcard: bool = False) -> str:
    """Return a host name in lower case; with `wildcard`, the leftmost label may be `*`.

    International names are accepted as A-labels (`xn--...`). A name with a number as its last label is refused:
    clients read it as an IPv4 address (WHATWG URL section 3.5).

    Raises:
        MalformedInput: `dns-name-malformed`.
    """
    name = text.lower() if text.isascii() else ""
    labels = name.split(".")
    if wildcard and labels[0] == "*" and len(labels) >= 3:  # noqa: PLR2004 - never a whole top-level domain
        labels = labels[1:]
    fits = 0 < len(name) <= _HOST_LIMIT and all(_LABEL.fullmatch(label) for label in labels)
    if not fits or labels[-1].isdigit():
        hint = "write labels of a-z, 0-9 and '-', joined by dots, without a dot at the end"
        raise MalformedInput("dns-name-malformed", f"{text[:80]!a} is not a DNS host name", hint=hint)
    return name


def parse_trust_domain(text: str) -> str:
    """Return `text` if it is a trust domain: a DNS name in lower case.

    Raises:
        MalformedInput: `trust-domain-malformed`.
    """
    try:
        name = parse_dns_name(text)
    except MalformedInput:
        name = ""
    if not text or name != text:
        hint = "write a DNS name in lower case, such as corp.example"
        raise MalformedInput("trust-domain-malformed", f"{text[:80]!a} is not a trust domain", hint=hint)
    return name


def enrolment_host(trust_domain: str) -> str:
    """Return the host of a trust domain at which certificates are enrolled."""
    return f"{ENROL_LABEL}.{trust_domain}"


def est_host(trust_domain: str) -> str:
    """Return the default host of a trust domain's EST server (RFC 7030); a setting may name another one."""
    return f"{EST_LABEL}.{trust_domain}"


def portal_host(trust_domain: str) -> str:
    """Return the default host of a trust domain's portal; a setting may name another one."""
    return f"{PORTAL_LABEL}.{trust_domain}"


def is_at_or_below(host: str, domain: str) -> bool:
    """Return whether a host is the domain or a subdomain of it; both in lower case."""
    return host == domain or host.endswith(f".{domain}")


def own_hosts(trust_domain: str) -> frozenset[str]:
    """Return the hosts of a trust domain that Doorward itself uses; no application can have them."""
    return frozenset(f"{label}.{trust_domain}" for label in OWN_LABELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalUri:
    """`spiffe://<trust domain>/<kind>/<name>`: the principal that a certificate names in its only URI SAN."""

    trust_domain: str
    kind: PrincipalKind
    name: str

    def __post_init__(self) -> None:
        parse_trust_domain(self.trust_domain)
        parse_principal_name(self.name)

    def __str__(self) -> str:
        return f"{_URI_SCHEME}{self.trust_domain}/{self.kind.value}/{self.name}"


def render_principal_uri(trust_domain: str, kind: PrincipalKind, name: str) -> str:
    """Return the URI of a principal; raise `MalformedInput` if a part is malformed."""
    return str(PrincipalUri(trust_domain=trust_domain, kind=kind, name=name))


def parse_principal_uri(text: str) -> PrincipalUri:
    """Return the parts of a principal's URI. The match is exact: no normalisation, no percent encoding.

    Raises:
        MalformedInput: `principal-uri-malformed`, for any other text.
    """
    rest = text.removeprefix(_URI_SCHEME)
    parts = rest.split("/")
    if len(text) <= _URI_LIMIT and rest != text and len(parts) == 3 and parts[1] in _KINDS:  # noqa: PLR2004
        try:
            return PrincipalUri(trust_domain=parts[0], kind=_KINDS[parts[1]], name=parts[2])
        except MalformedInput:
            pass  # one error code for the whole URI, below
    hint = "a principal's URI is spiffe://<trust domain>/<person, device or service>/<name>"
    raise MalformedInput("principal-uri-malformed", f"{text[:80]!a} does not name a principal", hint=hint)
