"""The rules that one certificate can break alone, without regard to its path.

1. Form: both algorithm fields are equal, an issuer is named, the key is strong, no critical extension is unknown.
2. Dates: both ends included (4.1.2.5), as in `validity`.
3. An authority is a CA of version 3 that may sign certificates; its extended key usage, if present, contains the
   required purpose.
4. The leaf's extended key usage contains the purpose.
5. With `enforce_profile`, the requirements of section 4 for issuers: criticality, key identifiers, serial numbers,
   subjects, no CA extensions in an end entity certificate. noRevAvail is for end entity certificates that name neither
   CRLs nor an OCSP responder (RFC 9608 sections 2 and 3).
   Some valid paths of PKITS break these requirements on purpose, therefore the switch.

Standard: RFC 5280 sections 4.1, 4.2, 6.1.3, 6.1.4 and 6.1.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from doorward.verification.path.certificate import NO_REV_AVAIL, PROCESSED, VERSION_3, PathCertificate
from doorward.verification.path.constraints import ConstrainedName
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.rules import CertificationPathFault, PathRule
from doorward.verification.path.signatures import Strength, is_strong_key
from doorward.verification.validity import has_begun, has_ended

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
_ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string
_EC = bytes.fromhex("06072a8648ce3d0201")  # id-ecPublicKey
_NAMED_CURVE = _EC + b"\x06"  # ... and an object identifier for the curve
_SERIAL_BITS = 159  # 20 octets, the first bit is the sign (4.1.2.2)

_PROCESSED = frozenset(oid.dotted_string for oid in PROCESSED)
_NEVER_CRITICAL = frozenset(
    oid.dotted_string
    for oid in (
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.SUBJECT_INFORMATION_ACCESS,
        ExtensionOID.FRESHEST_CRL,
        NO_REV_AVAIL,
    )
)
_ALWAYS_CRITICAL = frozenset(
    oid.dotted_string
    for oid in (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    )
)
"""In authorities. nameConstraints are enforced whether critical or not: authorities of the public web once had to leave
them uncritical, and enforcing them cannot let in more."""
_ALTERNATIVE_NAME = ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string
_CRL_POINTERS = frozenset(
    {ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string, ExtensionOID.FRESHEST_CRL.dotted_string}
)
_NAME_CONSTRAINTS = ExtensionOID.NAME_CONSTRAINTS.dotted_string


@dataclass(frozen=True, slots=True, kw_only=True)
class PathInputs:
    """Requirements for a path, except the time: the inputs of RFC 5280 section 6.1.1 and our own.

    Args:
        purpose: dotted extended key usage that the leaf must contain. anyExtendedKeyUsage, or no extension, is not
            enough. None requires no purpose.
        max_intermediates: CAs between anchor and leaf, self-issued ones not counted; also an input of x509-limbo.
        enforce_profile: step 5.
        policies: see `PolicyInputs`.
        strength: which keys and hashes are strong enough.
        initial_permitted: subtrees that the names of a path must be in, as if the anchor had them (6.1.1 h). If
            there is no subtree of a form, every name of that form is permitted.
        initial_excluded: subtrees that the names must not be in (6.1.1 i).
    """

    purpose: str | None = CLIENT_AUTH
    max_intermediates: int = 8
    enforce_profile: bool = True
    policies: PolicyInputs = field(default_factory=PolicyInputs)
    strength: Strength = field(default_factory=Strength)
    initial_permitted: tuple[ConstrainedName, ...] = field(default=(), hash=False)  # long; equality is enough
    initial_excluded: tuple[ConstrainedName, ...] = field(default=(), hash=False)


def check_leaf(
    leaf: PathCertificate, inputs: PathInputs, now: datetime
) -> tuple[CertificationPathFault, ...]:
    """Return the rules that the leaf of a path breaks alone."""
    return tuple(
        _fault(leaf, rule, detail)
        for rule, detail in (
            *_check_form(leaf, inputs),
            *_check_dates(leaf, now),
            *_check_leaf_purpose(leaf, inputs),
            *(_check_leaf_profile(leaf) if inputs.enforce_profile else ()),
        )
    )


def check_authority(
    authority: PathCertificate, inputs: PathInputs, *, anchor: bool
) -> tuple[CertificationPathFault, ...]:
    """Return the rules that an anchor or intermediate breaks alone, except its dates. The result never changes."""
    return tuple(
        _fault(authority, rule, detail)
        for rule, detail in (
            *_check_form(authority, inputs),
            *_check_authority(authority, inputs),
            *(_check_authority_profile(authority, anchor=anchor) if inputs.enforce_profile else ()),
        )
    )


def check_dates(certificate: PathCertificate, now: datetime) -> tuple[CertificationPathFault, ...]:
    """Return the faults of a certificate's dates at a given time: step 2."""
    return tuple(_fault(certificate, rule, detail) for rule, detail in _check_dates(certificate, now))


_Found = Iterator[tuple[PathRule, str]]


def _fault(certificate: PathCertificate, rule: PathRule, detail: str) -> CertificationPathFault:
    return CertificationPathFault(rule=rule, certificate=certificate.sha256, detail=detail)


def _check_form(certificate: PathCertificate, inputs: PathInputs) -> _Found:
    """Step 1."""
    if not certificate.algorithms_agree:
        yield PathRule.ALGORITHM_FIELDS_DIFFER, ""
    if not certificate.issuer:
        yield PathRule.ISSUER_EMPTY, ""
    if not is_strong_key(certificate.key, inputs.strength):
        yield PathRule.KEY_WEAK, "" if certificate.key is not None else "its kind of key is unknown"
    elif not certificate.key_algorithm.startswith(_NAMED_CURVE) and certificate.key_algorithm.startswith(_EC):
        yield PathRule.KEY_WEAK, "its curve is given by parameters, not by name (RFC 5480 section 2.1.1)"
    if not certificate.critical <= _PROCESSED:
        yield PathRule.CRITICAL_EXTENSION_UNKNOWN, ", ".join(sorted(certificate.critical - _PROCESSED))


def _check_dates(certificate: PathCertificate, now: datetime) -> _Found:
    """Step 2."""
    if not has_begun(certificate.not_before, now):
        yield PathRule.NOT_YET_VALID, f"from {certificate.not_before:%Y-%m-%d %H:%M:%S}Z"
    if has_ended(certificate.not_after, now):
        yield PathRule.EXPIRED, f"since {certificate.not_after:%Y-%m-%d %H:%M:%S}Z"


def _check_authority(authority: PathCertificate, inputs: PathInputs) -> _Found:
    """Step 3."""
    if authority.version is not VERSION_3:
        yield PathRule.VERSION_NOT_3, ""
    if not authority.is_ca:
        yield PathRule.NOT_A_CA, ""
    if authority.key_usage is not None and not authority.key_usage.key_cert_sign:
        yield PathRule.CANNOT_SIGN_CERTIFICATES, ""
    purposes = authority.purposes
    if inputs.purpose and purposes is not None and not purposes & {inputs.purpose, _ANY_PURPOSE}:
        yield PathRule.PURPOSE_WRONG, "its extended key usage excludes the leaf's"


def _check_leaf_purpose(leaf: PathCertificate, inputs: PathInputs) -> _Found:
    """Step 4."""
    if inputs.purpose is not None and inputs.purpose not in (leaf.purposes or ()):
        yield PathRule.PURPOSE_WRONG, ""


def _check_profile(certificate: PathCertificate, *, anchor: bool = False) -> _Found:
    """Step 5, for all certificates. An anchor need not name its issuer, because no certificate above it is searched."""
    if certificate.critical & _NEVER_CRITICAL:
        yield PathRule.CRITICALITY_WRONG, ", ".join(sorted(certificate.critical & _NEVER_CRITICAL))
    if certificate.authority_key_id is None and not certificate.self_issued and not anchor:
        yield PathRule.KEY_IDENTIFIER_MISSING, "authorityKeyIdentifier"
    if certificate.serial.bit_length() > _SERIAL_BITS:
        yield PathRule.SERIAL_TOO_LONG, ""


def _check_authority_profile(authority: PathCertificate, *, anchor: bool) -> _Found:
    yield from _check_profile(authority, anchor=anchor)
    uncritical = (authority.present & _ALWAYS_CRITICAL) - authority.critical
    if uncritical:
        yield PathRule.CRITICALITY_WRONG, ", ".join(sorted(uncritical))
    if authority.subject_key_id is None:
        yield PathRule.KEY_IDENTIFIER_MISSING, "subjectKeyIdentifier"
    if not authority.subject:
        yield PathRule.SUBJECT_EMPTY, ""
    if authority.no_rev_avail:
        yield PathRule.NO_REV_AVAIL_MISUSED, "an authority must not have noRevAvail"


def _check_leaf_profile(leaf: PathCertificate) -> _Found:
    yield from _check_profile(leaf)
    if leaf.version is not VERSION_3:
        yield PathRule.VERSION_NOT_3, ""
    if not leaf.subject and _ALTERNATIVE_NAME not in leaf.critical:
        yield PathRule.SUBJECT_EMPTY, "and no critical subjectAltName"
    if leaf.no_rev_avail and (leaf.is_ca or leaf.names_ocsp or leaf.present & _CRL_POINTERS):
        yield (
            PathRule.NO_REV_AVAIL_MISUSED,
            "beside noRevAvail there are CRLs, an OCSP responder or the CA bit",
        )
    if leaf.is_ca:
        return
    if leaf.key_usage is not None and leaf.key_usage.key_cert_sign:
        yield PathRule.NOT_A_CA, "but its key usage allows signing certificates"
    if _NAME_CONSTRAINTS in leaf.present:
        yield PathRule.NOT_A_CA, "but it has name constraints"
