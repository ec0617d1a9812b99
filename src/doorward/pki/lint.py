"""Our own certificate lint: one function for each rule; all faults are reported.

The rules are written independently of the builder on purpose, so that a fault in one of them is found by the other.
pki.minting lints a certificate signed by a throw-away key, before the issuer's key signs anything.
Not here: whether the holder may have the certificate (authority.issuing.registration).
Standard: RFC 5280 sections 4.1 and 4.2 and appendix A; each rule names its section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier, SignatureAlgorithmOID

from doorward.core.errors import MalformedInput
from doorward.core.lifetimes import SHORT_LIFE
from doorward.core.names import COMMON_NAME_LIMIT, parse_dns_name, parse_principal_uri
from doorward.pki.keys import check_public_key
from doorward.pki.profiles import BACKDATE, CertificateProfile, KeyUse, SanRule

URL_LIMIT = 512
"""Characters of a publication address, which every certificate repeats."""

_SERIAL_BITS = range(64, 159 + 1)  # 64 bits: CA/Browser Forum 7.1; 159: twenty octets, the sign bit clear
_EMAIL_LIMIT = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
_SUBJECT_KINDS = frozenset({NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME})
_SIGNATURES = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ED25519,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
    }
)
_CRITICAL = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})
_ALWAYS = _CRITICAL | {ExtensionOID.SUBJECT_KEY_IDENTIFIER}
_PUBLICATION = frozenset({ExtensionOID.AUTHORITY_INFORMATION_ACCESS, ExtensionOID.CRL_DISTRIBUTION_POINTS})
_NO_REV_AVAIL = ObjectIdentifier("2.5.29.56")
_OTHER_USES = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)
_Extensions: TypeAlias = Mapping[type[x509.ExtensionType], x509.ExtensionType]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFault:
    """One rule that a certificate breaks: a stable code, and the section that requires the rule."""

    code: str
    section: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintedCertificate:
    """A certificate to be linted, with its extensions by class, its key, its profile and its issuer (None for a root)."""

    certificate: x509.Certificate
    extensions: _Extensions
    key: CertificatePublicKeyTypes
    profile: CertificateProfile
    issuer: x509.Certificate | None


def lint_certificate(
    certificate: x509.Certificate, profile: CertificateProfile, issuer: x509.Certificate | None
) -> tuple[LintFault, ...]:
    """Return all faults of a certificate under its profile, in the order of the rules.

    Args:
        certificate: well-formed; its signature is not checked.
        profile: exactly what the certificate may contain.
        issuer: the CA that will sign it; None for a root.

    Standard: RFC 5280 sections 4.1, 4.2, 6.1.4 (k, l) and appendix A.
    """
    key = certificate.public_key()
    linted = LintedCertificate(
        certificate=certificate,
        extensions=_by_class(certificate),
        key=key,
        profile=profile,
        issuer=issuer,
    )
    return tuple(fault for rule in _RULES for fault in rule(linted))


_Faults = Iterator[LintFault]


def _fault(code: str, section: str, message: str) -> LintFault:
    return LintFault(code=code, section=section, message=message)


def _by_class(certificate: x509.Certificate) -> _Extensions:
    """Return the values of the extensions; the library refuses a certificate that has one of them twice."""
    return {type(one.value): one.value for one in certificate.extensions}


@lru_cache(maxsize=16)  # an issuer comes again with each of its certificates
def _read_issuer(issuer: x509.Certificate) -> tuple[bytes, _Extensions]:
    """Return the subject of an issuer as it is encoded, and its extensions."""
    return issuer.subject.public_bytes(), _by_class(issuer)


def _find(extensions: _Extensions, kind: type[_ExtensionT]) -> _ExtensionT | None:
    """Return the value of the extension of that kind, or None."""
    found = extensions.get(kind)
    return found if isinstance(found, kind) else None


def _lint_serial(linted: LintedCertificate) -> _Faults:
    """Positive, long enough to be unpredictable, at most 20 octets."""
    serial = linted.certificate.serial_number
    if serial <= 0 or serial.bit_length() not in _SERIAL_BITS:
        yield _fault("serial", "4.1.2.2", "the serial number must be positive and have 64 to 159 bits")


def _lint_signature(linted: LintedCertificate) -> _Faults:
    """Only algorithms of known strength."""
    if linted.certificate.signature_algorithm_oid not in _SIGNATURES:
        yield _fault(
            "signature-algorithm", "4.1.1.2", "the signature algorithm is not one that Doorward uses"
        )


def _lint_issuer(linted: LintedCertificate) -> _Faults:
    """The issuer name as the issuer encodes it, an issuer that is a CA, and a permitted path length."""
    certificate, issuer = linted.certificate, linted.issuer
    name, above = _read_issuer(certificate if issuer is None else issuer)
    if certificate.issuer.public_bytes() != name:
        yield _fault("issuer-name", "4.1.2.4", "the issuer's name is not the issuing certificate's subject")
    if issuer is None:
        if not linted.profile.is_ca:
            yield _fault("issuer-missing", "4.1.2.4", "only a root may be self-signed")
        return
    constraints = _find(above, x509.BasicConstraints)
    usage = _find(above, x509.KeyUsage)
    if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
        yield _fault("issuer-not-ca", "4.2.1.9", "the issuing certificate is not a CA certificate")
    elif linted.profile.is_ca and constraints.path_length is not None:
        # A chain through this certificate would be longer than its issuer permits.
        own = linted.profile.path_length
        if own is None or own >= constraints.path_length:
            text = "the issuing CA may not certify a CA with this path length"
            yield _fault("issuer-path-length", "4.2.1.9", text)


def _lint_dates(linted: LintedCertificate) -> _Faults:
    """The certificate begins before it ends, is not longer than its profile allows, and is within the issuer's dates."""
    certificate, issuer = linted.certificate, linted.issuer
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin >= end or end - begin > linted.profile.max_lifetime + BACKDATE:
        text = "the certificate must begin before it ends, and not last longer than its profile allows"
        yield _fault("lifetime", "4.1.2.5", text)
    if issuer is not None and not issuer.not_valid_before_utc <= begin <= end <= issuer.not_valid_after_utc:
        yield _fault("outlives-issuer", "4.1.2.5", "the dates must be within the issuer's")


def _lint_subject(linted: LintedCertificate) -> _Faults:
    """One common name, at most one organization, nothing else; printable, within the upper bounds."""
    attributes = list(linted.certificate.subject)
    kinds = [attribute.oid for attribute in attributes]
    once = len(kinds) == len(set(kinds)) and set(kinds) <= _SUBJECT_KINDS
    if NameOID.COMMON_NAME not in kinds or not once:
        yield _fault("subject", "4.1.2.6", "the subject must be a common name and at most an organization")
    for attribute in attributes:
        value = str(attribute.value)
        if not 0 < len(value) <= COMMON_NAME_LIMIT or not value.isprintable():
            yield _fault("subject-length", "A.1", "a name must have 1 to 64 printable characters")


def _lint_key(linted: LintedCertificate) -> _Faults:
    """A kind and size of key that Doorward certifies."""
    try:
        check_public_key(linted.key)
    except MalformedInput as fault:
        yield _fault(fault.code, "4.1.2.7", fault.detail)


def _lint_extensions(linted: LintedCertificate) -> _Faults:
    """Exactly the extensions of the profile, each with its criticality."""
    profile = linted.profile
    wanted: set[ObjectIdentifier] = set(_ALWAYS)
    if profile.extended_key_usage:
        wanted.add(ExtensionOID.EXTENDED_KEY_USAGE)
    if profile.names is not SanRule.NONE:
        wanted.add(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    if profile.no_check:
        wanted.add(ExtensionOID.OCSP_NO_CHECK)
    if profile.no_revocation:
        wanted.add(_NO_REV_AVAIL)
    if linted.issuer is not None:
        wanted.add(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    present = {extension.oid for extension in linted.certificate.extensions}
    silent = linted.issuer is None or profile.no_check or profile.no_revocation
    allowed = wanted if silent else wanted | _PUBLICATION
    for oid in sorted(wanted - present, key=lambda oid: oid.dotted_string):
        yield _fault("extension-missing", "4.2", f"the extension {oid.dotted_string} is missing")
    for oid in sorted(present - allowed, key=lambda oid: oid.dotted_string):
        yield _fault("extension-unexpected", "4.2", f"the extension {oid.dotted_string} does not belong here")
    for extension in linted.certificate.extensions:
        if extension.critical is not (extension.oid in _CRITICAL):
            text = f"the criticality of {extension.oid.dotted_string} is wrong"
            yield _fault("extension-criticality", "4.2", text)


def _lint_short_life(linted: LintedCertificate) -> _Faults:
    """A certificate without revocation information is short-lived, is of no CA, and says so as RFC 9608 has it."""
    certificate = linted.certificate
    found = [one.value for one in certificate.extensions if one.oid == _NO_REV_AVAIL]
    if not found:
        return
    value = found[0]
    if not isinstance(value, x509.UnrecognizedExtension) or value.value != b"\x05\x00":
        yield _fault("no-rev-avail", "RFC 9608 2", "the value of noRevAvail must be NULL")
    if linted.profile.is_ca:
        yield _fault("no-rev-avail", "RFC 9608 2", "a CA certificate must not have noRevAvail")
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > SHORT_LIFE + BACKDATE:
        yield _fault("no-rev-avail", "RFC 9608 2", "only a certificate of at most 7 days may have noRevAvail")


def _lint_constraints(linted: LintedCertificate) -> _Faults:
    """The CA bit and the path length are those of the profile."""
    constraints = _find(linted.extensions, x509.BasicConstraints)
    wanted = (linted.profile.is_ca, linted.profile.path_length)
    if constraints is not None and (constraints.ca, constraints.path_length) != wanted:
        yield _fault(
            "basic-constraints", "4.2.1.9", "the CA bit or the path length is not that of the profile"
        )


def _lint_key_usage(linted: LintedCertificate) -> _Faults:
    """Exactly the bits of the profile."""
    usage = _find(linted.extensions, x509.KeyUsage)
    if usage is None:
        return
    bits = {use for use in KeyUse if getattr(usage, use.value)}
    if bits != linted.profile.key_usage or any(getattr(usage, use) for use in _OTHER_USES):
        yield _fault("key-usage", "4.2.1.3", "the key usage is not that of the profile")


def _lint_purposes(linted: LintedCertificate) -> _Faults:
    """Exactly the extended key usages of the profile."""
    usages = _find(linted.extensions, x509.ExtendedKeyUsage)
    if usages is not None and tuple(usages) != linted.profile.extended_key_usage:
        yield _fault("extended-key-usage", "4.2.1.12", "the extended key usage is not that of the profile")


def _lint_key_identifiers(linted: LintedCertificate) -> _Faults:
    """The subject key identifier is that of the key; the authority key identifier is the issuer's."""
    issuer = linted.issuer
    own = _find(linted.extensions, x509.SubjectKeyIdentifier)
    if own is not None and own != x509.SubjectKeyIdentifier.from_public_key(linted.key):
        yield _fault("subject-key-identifier", "4.2.1.2", "the subject key identifier is not that of the key")
    if issuer is None:
        return
    authority = _find(linted.extensions, x509.AuthorityKeyIdentifier)
    above = _find(_read_issuer(issuer)[1], x509.SubjectKeyIdentifier)
    if above is None or (authority is not None and authority.key_identifier != above.digest):
        text = "the authority key identifier is not the issuer's"
        yield _fault("authority-key-identifier", "4.2.1.1", text)


def _lint_names(linted: LintedCertificate) -> _Faults:
    """Only the kinds of names that the profile carries, each in its own form."""
    names = _find(linted.extensions, x509.SubjectAlternativeName)
    if names is None or linted.profile.names is SanRule.NONE:
        return
    if linted.profile.names is SanRule.HOSTS:
        good = bool(list(names)) and all(_is_host(name) for name in names)
    else:
        rest = [name for name in names if not _names_principal(name, linted.profile)]
        good = len(list(names)) - len(rest) == 1
        email = linted.profile.names is SanRule.PRINCIPAL_AND_EMAIL
        good = good and all(email and _is_email(name) for name in rest)
    if not good:
        yield _fault("alternative-name", "4.2.1.6", "the alternative names are not those of the profile")


def _names_principal(name: x509.GeneralName, profile: CertificateProfile) -> bool:
    """Return whether a name is the URI of a principal of the profile's kind."""
    if not isinstance(name, x509.UniformResourceIdentifier):
        return False
    try:
        return parse_principal_uri(name.value).kind is profile.kind
    except MalformedInput:
        return False


def _is_email(name: x509.GeneralName) -> bool:
    """Return whether a name is a mailbox `local@host` in ASCII that needs no quoting."""
    if not isinstance(name, x509.RFC822Name) or len(name.value) > _EMAIL_LIMIT:
        return False
    local, _, host = name.value.partition("@")
    plain = local.isascii() and all(char.isalnum() or char in "._+-" for char in local)
    return bool(local) and plain and _is_host(x509.DNSName(host))


def _is_host(name: x509.GeneralName) -> bool:
    """Return whether a name is a DNS name (a wildcard as the leftmost label is allowed) or an IP address."""
    match name:
        case x509.DNSName(value=value):
            try:
                return parse_dns_name(value, wildcard=True) == value
            except MalformedInput:
                return False
        case x509.IPAddress(value=value):
            return isinstance(value, IPv4Address | IPv6Address)
        case _:
            return False


def _lint_addresses(linted: LintedCertificate) -> _Faults:
    """Publication addresses are http(s) URLs that a relying party can fetch."""
    addresses: list[x509.GeneralName] = []
    access = _find(linted.extensions, x509.AuthorityInformationAccess)
    points = _find(linted.extensions, x509.CRLDistributionPoints)
    addresses += [description.access_location for description in access or ()]
    for point in points or ():
        addresses += point.full_name or [x509.DNSName("")]
    if not all(_is_url(address) for address in addresses):
        yield _fault("publication-address", "4.2.1.13", "a publication address is not an http(s) URL")


@lru_cache(maxsize=1024)  # the same few addresses in every certificate of an issuer
def _is_url(name: x509.GeneralName) -> bool:
    """Return whether a name is an absolute http(s) URL of printable ASCII, without user name and fragment."""
    if not isinstance(name, x509.UniformResourceIdentifier) or len(name.value) > URL_LIMIT:
        return False
    try:
        url = urlsplit(name.value)
        port_fits = url.port is None or url.port > 0
    except ValueError:
        return False
    plain = name.value.isprintable() and not set(name.value) & set(' "<>\\^`{|}#@')
    return plain and port_fits and url.scheme in {"http", "https"} and bool(url.hostname)


_RULES: tuple[Callable[[LintedCertificate], _Faults], ...] = (
    _lint_serial,
    _lint_signature,
    _lint_issuer,
    _lint_dates,
    _lint_subject,
    _lint_key,
    _lint_extensions,
    _lint_constraints,
    _lint_key_usage,
    _lint_purposes,
    _lint_key_identifiers,
    _lint_names,
    _lint_addresses,
    _lint_short_life,
)
