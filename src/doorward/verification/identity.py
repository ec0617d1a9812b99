"""Certificate to principal: the name rules, and nothing else.

A certificate of ours names its holder in exactly one URI SAN, `spiffe://<trust domain>/<kind>/<name>`.
The common name, e-mail addresses and host names are for people and never decide who somebody is.
A partner's certificates name their holders as the partner's `IdentityRule` says, by one form of name.
Not checked: the certificate itself. Only the verifier's steps make a name mean anything; never act on
a name before they have all passed.
Standard: RFC 5280 section 4.2.1.6; SPIFFE X.509-SVID section 2 (exactly one URI SAN).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

from cryptography import x509

from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import (
    IDENTITY_LIMIT,
    PrincipalUri,
    parse_dns_name,
    parse_partner_identity,
    parse_principal_uri,
)
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.constraints import ConstrainedName, Host, Mailbox, Value, read_names
from doorward.verification.subject_text import parse_subject_text

_CUT = "%~"
_ENCODED = re.compile(r"%(?:2C|20|22|25|27|5C|[89A-F][0-9A-F])|%~[0-9a-f]{64}$")
_SAFE = "!#$&()*+-./:;<=>?@[]^_`{|}~"
"""What an identity may hold of what RFC 4514 text holds, but for the percent sign itself."""


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


class SanSource(Enum):
    """Where a partner's certificates say who their holder is: one form of general name, or the subject."""

    EMAIL = "email"
    DNS = "dns"
    URI = "uri"
    SUBJECT = "subject"


_FORMS: dict[SanSource, Callable[[str], x509.GeneralName]] = {
    SanSource.EMAIL: x509.RFC822Name,
    SanSource.DNS: x509.DNSName,
    SanSource.URI: x509.UniformResourceIdentifier,
}
_WORDS = {SanSource.EMAIL: "e-mail address", SanSource.DNS: "DNS name", SanSource.URI: "URI"}
_HINTS = {
    SanSource.EMAIL: "write one address such as bob@clinic.example, in ASCII, without quotation marks; a host is xn--…",
    SanSource.DNS: "write one host such as pc7.clinic.example, in ASCII (xn--…), without `*` and without a dot at the end",
    SanSource.URI: "write the URI exactly as the certificate has it, in ASCII; with --domain it needs a host",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRule:
    """How a partner's certificates name their holders.

    Args:
        source: the form of name that counts; no other is looked at.
        kind: what the holders are.
        domain: the host of the name must be this or lie below it: a DNS name in lower case; empty for any.

    Raises:
        MalformedInput: `identity-domain-malformed`: not a DNS name in lower case, or for a subject.
    """

    source: SanSource
    kind: PrincipalKind
    domain: str = ""

    def __post_init__(self) -> None:
        if not self.domain:
            return
        try:
            fits = parse_dns_name(self.domain) == self.domain and self.source is not SanSource.SUBJECT
        except MalformedInput:
            fits = False
        if not fits:
            hint = (
                "write a DNS name in lower case, such as clinic.example; none where the subject is the name"
            )
            raise MalformedInput("identity-domain-malformed", "this is no domain for such names", hint=hint)


def identify(leaf: PathCertificate, rule: IdentityRule) -> str | None:
    """Return the one identity that a partner's certificate gives its holder; None where it gives none.

    Two different names of the form are none: a relying party that reads the other would see somebody else.
    An e-mail address keeps its local part, its host is in lower case, and one in the subject does not count;
    a DNS name is in lower case and no wildcard; a URI is exact; a subject is its RFC 4514 text, and what an
    identity may not hold is percent-encoded in it. The end of a subject that is too long is its SHA-256.

    Args:
        leaf: of a partner, its path verified.
        rule: the partner's.

    Returns:
        Text of the grammar of `parse_partner_identity`, within the rule's domain.

    Not checked: that the partner may speak for the name; its name constraints and the domain say that.
    Standard: RFC 5280 section 4.2.1.6.
    """
    if rule.source is SanSource.SUBJECT:
        return _check(_read_subject(leaf))
    found = {
        _read_identity(general, name.value, rule.domain)
        for general, name in _list_names(leaf)
        if name.form == rule.source.value
    }
    return _check(found.pop()) if len(found) == 1 else None


def make_identity(text: str, rule: IdentityRule) -> str:
    """Return the identity that a certificate with this name gives its holder, as `identify` writes it.

    Args:
        text: as a person writes it: an address, a host, a URI or a subject in RFC 4514 order; or an identity.
        rule: the partner's.

    Raises:
        MalformedInput: `identity-never-matches`: no certificate of the partner can say that; `subject-malformed`.

    Standard: RFC 5280 sections 4.2.1.6 and 7.5 (the host of a mailbox has no case); RFC 4514.
    """
    if rule.source is SanSource.SUBJECT:
        return _make_subject(text)
    kind = _FORMS[rule.source]
    try:
        general = kind(text)
        read = read_names(x509.Name([]), (), [general])[0].value
        found = _check(_read_identity(general, read, ""))
        inside = _check(_read_identity(general, read, rule.domain))
    except ValueError:
        found = inside = None
    if found is None:
        raise _never(f"no certificate gives the {_WORDS[rule.source]} {text[:100]!a}", _HINTS[rule.source])
    if inside is None:
        raise _never(
            f"{found} does not lie in {rule.domain}, and only names in it count for this partner",
            f"write a name in {rule.domain}, or import the partner again with another --domain",
        )
    return inside


def _make_subject(text: str) -> str:
    if _ENCODED.search(text) and _check(text) is not None:
        return text  # an identity already: `%2C` is not written for a comma in a subject
    return _encode_subject(parse_subject_text(text))


def _never(message: str, hint: str) -> MalformedInput:
    return MalformedInput("identity-never-matches", message, hint=hint)


def _check(identity: str | None) -> str | None:
    """Return the identity where it has the grammar of one."""
    try:
        return parse_partner_identity(identity or "")
    except MalformedInput:
        return None


def _list_names(leaf: PathCertificate) -> Iterator[tuple[x509.GeneralName, ConstrainedName]]:
    """Each general name as written, and as constraints read it; the subject left out."""
    return zip(leaf.alternative, leaf.names, strict=False)


def _read_subject(leaf: PathCertificate) -> str:
    return _encode_subject(leaf.subject_text)


def _encode_subject(text: str) -> str:
    """Return a subject as an identity; one that is too long ends with a digest after `%~`, which encoding never writes."""
    encoded = quote(text, safe=_SAFE, errors="surrogatepass")
    if len(encoded) <= IDENTITY_LIMIT:
        return encoded
    digest = hashlib.sha256(encoded.encode("ascii")).hexdigest()
    kept = encoded[: IDENTITY_LIMIT - len(digest) - len(_CUT)].rpartition("%2C")[0]
    return f"{kept}{_CUT}{digest}"


def _read_identity(general: x509.GeneralName, read: Value, domain: str) -> str | None:
    """One general name; None where it cannot be read or lies outside the domain."""
    match general, read:
        case x509.RFC822Name(), Mailbox(local=local, host=host):
            identity = f"{local}@{host}"
        case x509.DNSName(), Host(text=host, wildcard=False):
            identity = host
        case x509.UniformResourceIdentifier(value=identity), Host(text=host):
            pass
        case x509.UniformResourceIdentifier(value=identity), _ if not domain:
            return identity  # one without a host, such as `urn:uuid:`, lies in no domain
        case _:
            return None
    return identity if not domain or host == domain or host.endswith("." + domain) else None
