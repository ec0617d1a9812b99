"""The identity of a certificate's holder: the rules about names, and nothing else.

Our own certificate names its holder in exactly one URI SAN, `spiffe://<trust domain>/<kind>/<name>`.
The common name, e-mail addresses and host names are for people to read and never identify the holder.
A partner's certificate names its holder in one form of name, which the partner's `IdentityRule` selects.
Not checked: the certificate itself. A name is trustworthy only if all steps of the verifier have passed.
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

_DIGEST_MARK = "%~"
_ENCODED = re.compile(r"%(?:2C|20|22|25|27|5C|[89A-F][0-9A-F])|%~[0-9a-f]{64}$")
_SAFE = "!#$&()*+-./:;<=>?@[]^_`{|}~"
"""The characters of RFC 4514 text that an identity may contain, except the percent sign."""


def find_principal_uri(uris: Sequence[str]) -> PrincipalUri | None:
    """Return the principal in the URI SANs; None if there is no URI, if there are several, or if the URI names no principal.

    Two URIs are refused even if one of them is right: another relying party could read the other URI and identify
    another principal.
    """
    if len(uris) != 1:
        return None
    try:
        return parse_principal_uri(uris[0])
    except MalformedInput:
        return None


def is_named(uris: Sequence[str], principal: Principal, trust_domain: str) -> bool:
    """Return whether the URI SANs name exactly this principal in this trust domain."""
    uri = find_principal_uri(uris)
    wanted = (trust_domain, principal.kind, principal.name)
    return uri is not None and (uri.trust_domain, uri.kind, uri.name) == wanted


class SanSource(Enum):
    """The part of a partner's certificates that names the holder: one form of general name, or the subject."""

    EMAIL = "email"
    DNS = "dns"
    URI = "uri"
    SUBJECT = "subject"


_FORMS: dict[SanSource, Callable[[str], x509.GeneralName]] = {
    SanSource.EMAIL: x509.RFC822Name,
    SanSource.DNS: x509.DNSName,
    SanSource.URI: x509.UniformResourceIdentifier,
}
_NAMES_OF_FORMS = {SanSource.EMAIL: "e-mail address", SanSource.DNS: "DNS name", SanSource.URI: "URI"}
_HINTS = {
    SanSource.EMAIL: "write one address such as bob@clinic.example, in ASCII (hosts as xn--…), without quotation marks",
    SanSource.DNS: "write one host such as pc7.clinic.example, in ASCII (xn--…), without `*` and without a dot at the end",
    SanSource.URI: "write the URI exactly as in the certificate, in ASCII; with --domain it needs a host",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRule:
    """How a partner's certificates name their holders.

    Args:
        source: the form of name that counts; other forms are ignored.
        kind: the kind of the holders.
        domain: a DNS name in lower case; the host in the identity must be this domain or below it. Empty allows any host.

    Raises:
        MalformedInput: `identity-domain-malformed`: the domain is no DNS name in lower case, or the source is the subject.
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
            hint = "write a DNS name in lower case, such as clinic.example; with --identity subject, leave --domain out"
            detail = f"{self.domain[:80]!a} cannot be the domain of a partner's names ({self.source.value})"
            raise MalformedInput("identity-domain-malformed", detail, hint=hint)


def identify(leaf: PathCertificate, rule: IdentityRule) -> str | None:
    """Return the identity that a partner's certificate gives its holder; None if the certificate gives no identity, or several.

    Several different names of the form give no identity, because another relying party could read another of the names.
    An e-mail address keeps its local part, its host is in lower case, and an address in the subject does not count.
    A DNS name is in lower case and not a wildcard. A URI is exact. A subject is its RFC 4514 text, with the characters
    that an identity must not contain percent-encoded. A subject that is too long is cut, and ends with its SHA-256.

    Args:
        leaf: a partner's certificate with a verified path.
        rule: the partner's rule.

    Returns:
        Text that `parse_partner_identity` accepts, within the rule's domain.

    Not checked: that the partner may certify this name; the partner's name constraints and the domain decide that.
    Standard: RFC 5280 section 4.2.1.6.
    """
    if rule.source is SanSource.SUBJECT:
        return _parse_identity(_read_subject(leaf))
    found = {
        _read_identity(general, name.value, rule.domain)
        for general, name in _list_names(leaf)
        if name.form == rule.source.value
    }
    return _parse_identity(found.pop()) if len(found) == 1 else None


def make_identity(text: str, rule: IdentityRule) -> str:
    """Return the identity that `identify` gives the holder of a certificate with this name.

    Args:
        text: the name as a person writes it: an address, a host, a URI or a subject in RFC 4514 order; or an identity.
        rule: the partner's rule.

    Raises:
        MalformedInput: `identity-never-matches`: no certificate of the partner can have this name; `subject-malformed`.

    Standard: RFC 5280 sections 4.2.1.6 and 7.5 (the host of a mailbox has no case); RFC 4514.
    """
    if rule.source is SanSource.SUBJECT:
        return _make_subject(text)
    kind = _FORMS[rule.source]
    try:
        general = kind(text)
        read = read_names(x509.Name([]), (), [general])[0].value
        identity = _parse_identity(_read_identity(general, read, ""))
        identity_in_domain = _parse_identity(_read_identity(general, read, rule.domain))
    except ValueError:
        identity = identity_in_domain = None
    if identity is None:
        message = f"no certificate can have {text[:100]!a} as its {_NAMES_OF_FORMS[rule.source]}"
        raise _never_matches(message, _HINTS[rule.source])
    if identity_in_domain is None:
        raise _never_matches(
            f"{identity} is not in {rule.domain}, and this partner's names must be in that domain",
            f"write a name in {rule.domain}, or import the partner again with another --domain",
        )
    return identity_in_domain


def _make_subject(text: str) -> str:
    if _ENCODED.search(text) and _parse_identity(text) is not None:
        return text  # already an identity: a person writes a comma of a subject as `,` and not as `%2C`
    return _encode_subject(parse_subject_text(text))


def _never_matches(message: str, hint: str) -> MalformedInput:
    return MalformedInput("identity-never-matches", message, hint=hint)


def _parse_identity(identity: str | None) -> str | None:
    """Return the text if it is a well-formed identity, otherwise None."""
    try:
        return parse_partner_identity(identity or "")
    except MalformedInput:
        return None


def _list_names(leaf: PathCertificate) -> Iterator[tuple[x509.GeneralName, ConstrainedName]]:
    """Yield each general name as written, with its value as name constraints read it. The subject is not included."""
    return zip(leaf.alternative, leaf.names, strict=False)


def _read_subject(leaf: PathCertificate) -> str:
    return _encode_subject(leaf.subject_text)


def _encode_subject(text: str) -> str:
    """Return a subject as an identity. A long subject is cut, and its digest follows `%~`, which the encoding never writes."""
    encoded = quote(text, safe=_SAFE, errors="surrogatepass")
    if len(encoded) <= IDENTITY_LIMIT:
        return encoded
    digest = hashlib.sha256(encoded.encode("ascii")).hexdigest()
    kept = encoded[: IDENTITY_LIMIT - len(digest) - len(_DIGEST_MARK)].rpartition("%2C")[0]
    return f"{kept}{_DIGEST_MARK}{digest}"


def _read_identity(general: x509.GeneralName, read: Value, domain: str) -> str | None:
    """Return the identity in one general name; None if the name cannot be read or is not in the domain."""
    match general, read:
        case x509.RFC822Name(), Mailbox(local=local, host=host):
            identity = f"{local}@{host}"
        case x509.DNSName(), Host(text=host, wildcard=False):
            identity = host
        case x509.UniformResourceIdentifier(value=identity), Host(text=host):
            pass
        case x509.UniformResourceIdentifier(value=identity), _ if not domain:
            return identity  # a URI without a host, such as `urn:uuid:`, is in no domain
        case _:
            return None
    return identity if not domain or host == domain or host.endswith("." + domain) else None
