"""One CRL, bytes to facts: total, trusting nothing, and quick to ask however long it is.

A CRL with a critical extension, or a critical extension of an entry, that is not known here cannot be
used at all (RFC 5280 sections 5.2 and 5.3), and neither can one without number or next update.

Not here: whether it is genuine, fresh or about the certificate at hand (crl_judging).
Standard: RFC 5280 section 5.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from doorward.core.errors import MalformedInput
from doorward.verification.path.names import CanonicalName, canonicalise_name

CRL_LIMIT = 100 * 1024 * 1024
"""Bytes. A million entries with reasons have some 40 MB."""

ALL_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}

_PROCESSED = {
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    ExtensionOID.DELTA_CRL_INDICATOR,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
}
_ENTRY_PROCESSED = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.CERTIFICATE_ISSUER}

PointNames = frozenset[tuple[str, object]]
"""General names of a distribution point: (kind, value), directory names canonical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a CRL speaks of: its issuingDistributionPoint (5.2.5); the default is everything.

    `points` is None where none is named; `reasons` None where all are covered.
    """

    points: PointNames | None = None
    only_users: bool = False
    only_authorities: bool = False
    only_attributes: bool = False
    reasons: frozenset[x509.ReasonFlags] | None = None
    indirect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crl:
    """What a CRL says. `base` is the number that a delta builds on, None for a complete CRL.

    `entries` maps serial -> reason for certificates of the CRL's own issuer, `others` the same for each
    other issuer (indirect CRLs); a reason is None where it is not given.
    """

    crl: x509.CertificateRevocationList
    sha256: str
    issuer: CanonicalName
    this_update: datetime
    next_update: datetime
    number: int
    base: int | None
    authority_key_id: bytes | None
    scope: Scope
    entries: dict[int, x509.ReasonFlags | None]
    others: dict[CanonicalName, dict[int, x509.ReasonFlags | None]]

    def find(self, issuer: CanonicalName, serial: int) -> tuple[bool, x509.ReasonFlags | None]:
        """Return whether a certificate is listed, and with which reason."""
        listed = self.entries if issuer == self.issuer else self.others.get(issuer, {})
        return serial in listed, listed.get(serial)


def parse_crl(der: bytes) -> Crl:
    """Return what a CRL says.

    Args:
        der: one CRL in DER, at most 100 MB, nothing after it.

    Raises:
        MalformedInput: `crl-too-large`, `crl-malformed`, or `crl-unusable` where the standard forbids
            to use it.

    Standard: RFC 5280 sections 5.1 to 5.3.
    """
    if len(der) > CRL_LIMIT:
        raise MalformedInput("crl-too-large", f"a CRL may have {CRL_LIMIT} bytes", size=len(der))
    try:
        return _read(x509.load_der_x509_crl(der), der)
    except MalformedInput:
        raise
    except Exception as fault:  # a parser is total, whatever the library raises
        raise MalformedInput("crl-malformed", "this is not an X.509 CRL") from fault


def _read(crl: x509.CertificateRevocationList, der: bytes) -> Crl:
    extensions = {one.oid: one for one in crl.extensions}
    unknown = [oid.dotted_string for oid, one in extensions.items() if one.critical and oid not in _PROCESSED]
    number = extensions.get(ExtensionOID.CRL_NUMBER)
    if unknown:
        raise MalformedInput("crl-unusable", f"it has critical extensions that are not known: {unknown[0]}")
    if number is None or crl.next_update_utc is None:
        raise MalformedInput("crl-unusable", "it has no number, or no next update")
    issuer = canonicalise_name(crl.issuer)
    delta = extensions.get(ExtensionOID.DELTA_CRL_INDICATOR)
    key = extensions.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    point = extensions.get(ExtensionOID.ISSUING_DISTRIBUTION_POINT)
    entries, others = _read_entries(crl, issuer)
    return Crl(
        crl=crl,
        sha256=hashlib.sha256(der).hexdigest(),
        issuer=issuer,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        number=number.value.crl_number,
        base=delta.value.crl_number if delta else None,
        authority_key_id=key.value.key_identifier if key else None,
        scope=_read_scope(point.value, crl.issuer) if point else Scope(),
        entries=entries,
        others=others,
    )


def _read_entries(
    crl: x509.CertificateRevocationList, issuer: CanonicalName
) -> tuple[dict[int, x509.ReasonFlags | None], dict[CanonicalName, dict[int, x509.ReasonFlags | None]]]:
    """Each entry belongs to the issuer named last before it (5.3.3)."""
    entries: dict[int, x509.ReasonFlags | None] = {}
    others: dict[CanonicalName, dict[int, x509.ReasonFlags | None]] = {}
    listed = entries
    for entry in crl:
        reason = None
        for extension in entry.extensions:
            if extension.oid == CRLEntryExtensionOID.CRL_REASON:
                reason = extension.value.reason
            elif extension.oid == CRLEntryExtensionOID.CERTIFICATE_ISSUER:
                names = extension.value.get_values_for_type(x509.DirectoryName)
                named = canonicalise_name(names[0])
                listed = entries if named == issuer else others.setdefault(named, {})
            elif extension.critical:
                raise MalformedInput("crl-unusable", "an entry has a critical extension that is not known")
        listed[entry.serial_number] = reason
    return entries, others


def _read_scope(point: x509.ExtensionType, issuer: x509.Name) -> Scope:
    assert isinstance(point, x509.IssuingDistributionPoint)
    return Scope(
        points=read_point_names(point.full_name, point.relative_name, (issuer,)),
        only_users=point.only_contains_user_certs,
        only_authorities=point.only_contains_ca_certs,
        only_attributes=point.only_contains_attribute_certs,
        reasons=point.only_some_reasons,
        indirect=point.indirect_crl,
    )


def read_point_names(
    full: list[x509.GeneralName] | None,
    relative: x509.RelativeDistinguishedName | None,
    issuers: tuple[x509.Name, ...],
) -> PointNames | None:
    """Return the names of a distribution point; a relative one is completed by each issuer (4.2.1.13)."""
    if relative is not None:
        whole = [x509.Name([*issuer.rdns, relative]) for issuer in issuers]
        return frozenset(("DirectoryName", canonicalise_name(name)) for name in whole)
    return None if full is None else frozenset(_read_point_name(name) for name in full)


def _read_point_name(name: x509.GeneralName) -> tuple[str, object]:
    if isinstance(name, x509.DirectoryName):
        return "DirectoryName", canonicalise_name(name.value)
    return type(name).__name__, name.value
