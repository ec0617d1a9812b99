"""Certificate profiles: what each kind of certificate may contain, and how long it may last.

Not here: who may have one (authority.issuing.registration), building (pki.minting), linting (pki.lint).

| profile        | for                        | extended key usage | names (SAN)      | default / longest |
|----------------|----------------------------|--------------------|------------------|-------------------|
| person         | people, in a browser       | clientAuth         | 1 URI, e-mail    | 90 d / 398 d      |
| device         | machines and things        | clientAuth         | 1 URI            | 365 d / 825 d     |
| service        | programs that call         | clientAuth         | 1 URI            | 90 d / 398 d      |
| server         | our own listeners          | serverAuth         | DNS, IP          | 30 d / 398 d      |
| ocsp-responder | signs OCSP for one CA      | OCSPSigning        | none             | 30 d / 90 d       |
| root, issuing  | CAs (issuing: pathlen 0)   | none               | none             | 10 y / 25 y, 5 y / 10 y |
| cross          | a root, by another root    | none               | none             | as root (pathlen 1) |

A client certificate with a lifetime of at most 7 days (SHORT_LIFE) has the extension noRevAvail, and names neither CRL
nor OCSP responder nor issuer: `choose_short_life`.
A service has clientAuth only: a TLS client cannot use its URI name to verify a server, so a program that also
listens needs a `server` certificate as well. No certificate lasts longer than its issuer's.
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.6, 4.2.1.9 and 4.2.1.12; RFC 6960 section 4.2.2.2; RFC 9608.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.core.lifetimes import DEVICE_LIFETIME, PERSON_LIFETIME, SERVICE_LIFETIME, SHORT_LIFE

BACKDATE = timedelta(minutes=5)
"""notBefore is this far in the past, because clocks of clients and partners may be slow (boulder: 1 h)."""

_DAY = timedelta(days=1)

NO_REV_AVAIL = ObjectIdentifier("2.5.29.56")
"""id-ce-noRevAvail: no revocation information is published about this certificate (RFC 9608 section 2)."""


class KeyUse(Enum):
    """The bits of keyUsage that our profiles set; the values are the library's names."""

    DIGITAL_SIGNATURE = "digital_signature"
    KEY_CERT_SIGN = "key_cert_sign"
    CRL_SIGN = "crl_sign"


class SanRule(Enum):
    """Which subject alternative names a profile carries."""

    PRINCIPAL = "principal"  # exactly one URI that names a principal of the profile's kind
    PRINCIPAL_AND_EMAIL = "principal-and-email"
    HOSTS = "hosts"  # one or more DNS names and addresses
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """One kind of certificate.

    `kind` is the kind of principal that it names, None if it names none; `path_length` is for CAs only, None means
    no limit; `lifetime` is the default, and `max_lifetime` the most that a requester can get. `no_revocation` is for
    certificates with noRevAvail.
    """

    name: str
    key_usage: frozenset[KeyUse]
    extended_key_usage: tuple[ObjectIdentifier, ...]
    names: SanRule
    lifetime: timedelta
    max_lifetime: timedelta
    kind: PrincipalKind | None = None
    is_ca: bool = False
    path_length: int | None = None
    no_check: bool = False
    no_revocation: bool = False

    def __post_init__(self) -> None:
        if not timedelta(0) < self.lifetime <= self.max_lifetime:
            raise ValueError("a profile's default lifetime must be positive and at most its max_lifetime")


_SIGN = frozenset({KeyUse.DIGITAL_SIGNATURE})
_CA_USE = frozenset({KeyUse.KEY_CERT_SIGN, KeyUse.CRL_SIGN})

PERSON = CertificateProfile(
    name="person",
    kind=PrincipalKind.PERSON,
    key_usage=_SIGN,
    extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    names=SanRule.PRINCIPAL_AND_EMAIL,
    lifetime=PERSON_LIFETIME.default,
    max_lifetime=PERSON_LIFETIME.longest,
)
DEVICE = CertificateProfile(
    name="device",
    kind=PrincipalKind.DEVICE,
    key_usage=_SIGN,
    extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    names=SanRule.PRINCIPAL,
    lifetime=DEVICE_LIFETIME.default,
    max_lifetime=DEVICE_LIFETIME.longest,
)
SERVICE = CertificateProfile(
    name="service",
    kind=PrincipalKind.SERVICE,
    key_usage=_SIGN,
    extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    names=SanRule.PRINCIPAL,
    lifetime=SERVICE_LIFETIME.default,
    max_lifetime=SERVICE_LIFETIME.longest,
)
SERVER = CertificateProfile(
    name="server",
    key_usage=_SIGN,
    extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
    names=SanRule.HOSTS,
    lifetime=30 * _DAY,
    max_lifetime=398 * _DAY,
)
OCSP_RESPONDER = CertificateProfile(
    name="ocsp-responder",
    key_usage=_SIGN,
    extended_key_usage=(ExtendedKeyUsageOID.OCSP_SIGNING,),
    names=SanRule.NONE,
    lifetime=30 * _DAY,  # short, because id-pkix-ocsp-nocheck means that it cannot be revoked
    max_lifetime=90 * _DAY,
    no_check=True,
)
ROOT = CertificateProfile(
    name="root",
    key_usage=_CA_USE,
    extended_key_usage=(),
    names=SanRule.NONE,
    lifetime=3652 * _DAY,
    max_lifetime=9131 * _DAY,
    is_ca=True,
)
ISSUING = CertificateProfile(
    name="issuing",
    key_usage=_CA_USE,
    extended_key_usage=(),
    names=SanRule.NONE,
    lifetime=1826 * _DAY,
    max_lifetime=3652 * _DAY,
    is_ca=True,
    path_length=0,
)

CROSS = replace(ROOT, name="cross", path_length=1)
"""One root's certificate by another root. It opens no more than the roots do: one issuing authority below, and no other."""

PROFILES = {
    profile.name: profile
    for profile in (PERSON, DEVICE, SERVICE, SERVER, OCSP_RESPONDER, ROOT, ISSUING, CROSS)
}
_BY_KIND = {PrincipalKind.PERSON: PERSON, PrincipalKind.DEVICE: DEVICE, PrincipalKind.SERVICE: SERVICE}


def profile_for(kind: PrincipalKind) -> CertificateProfile:
    """Return the profile of the client certificates of that kind of principal."""
    return _BY_KIND[kind]


def choose_short_life(profile: CertificateProfile, lifetime: timedelta) -> CertificateProfile:
    """Return the profile of a certificate with that lifetime: without revocation information if it is short.

    Only for client certificates: other profiles are returned as they are.
    Standard: RFC 9608 section 2.
    """
    return _without_revocation(profile) if profile.kind is not None and lifetime <= SHORT_LIFE else profile


@functools.cache  # there are three
def _without_revocation(profile: CertificateProfile) -> CertificateProfile:
    return replace(
        profile,
        no_revocation=True,
        lifetime=min(profile.lifetime, SHORT_LIFE),
        max_lifetime=min(profile.max_lifetime, SHORT_LIFE),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The dates of a certificate, aware, UTC, whole seconds, both included (RFC 5280 section 4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    def __post_init__(self) -> None:
        for moment in (self.not_before, self.not_after):
            if moment.tzinfo is not UTC or moment.microsecond:
                raise ValueError("validity dates are UTC and in whole seconds")
        if self.not_before >= self.not_after:
            raise ValueError("a certificate must begin before it ends")


def choose_validity(
    profile: CertificateProfile,
    now: datetime,
    *,
    issuer: x509.Certificate | None = None,
    lifetime: timedelta | None = None,
) -> Validity:
    """Return the dates of a new certificate: from five minutes ago, within its issuer's dates.

    Args:
        profile: gives the default and the longest lifetime.
        now: aware, UTC.
        issuer: the CA that will sign; None for a root.
        lifetime: from now; None for the profile's default.

    Raises:
        RequestRefused: `lifetime-refused` (not positive, or longer than the profile allows),
            `issuer-expired`, `issuer-not-yet-valid`.
    """
    wanted = profile.lifetime if lifetime is None else lifetime
    if not timedelta(seconds=1) <= wanted <= profile.max_lifetime:
        hint = f"ask for at least one second and at most {profile.max_lifetime.days} days"
        code = "lifetime-refused"
        raise RequestRefused(
            code, f"a {profile.name} certificate cannot have a lifetime of {wanted}", hint=hint
        )
    present = now.astimezone(UTC).replace(microsecond=0)
    not_before, not_after = present - BACKDATE, present + wanted
    if issuer is not None:
        if issuer.not_valid_after_utc <= present:
            raise RequestRefused("issuer-expired", "the issuing CA's own certificate has expired")
        if issuer.not_valid_before_utc > present:
            raise RequestRefused("issuer-not-yet-valid", "the issuing CA's certificate is not valid yet")
        not_before = max(not_before, issuer.not_valid_before_utc)
        not_after = min(not_after, issuer.not_valid_after_utc)
    return Validity(not_before=not_before, not_after=not_after)
