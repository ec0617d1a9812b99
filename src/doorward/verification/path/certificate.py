"""One certificate, parsed for path validation; nothing in it is trusted.

Total, at most 64 KiB. Every extension that a decision needs is parsed. If one of these does not parse, or occurs
twice, the certificate is malformed as a whole. What no decision needs is kept as opaque bytes (rewriting).

Not here: any judgement (conformance, validation), and the identity of the holder (identity).
Standard: RFC 5280 sections 4.1 and 4.2.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID, ObjectIdentifier

from doorward.core.certificate_names import render_distinguished_name
from doorward.core.errors import MalformedInput
from doorward.verification.extensions import Extensions
from doorward.verification.path.constraints import ConstrainedName, Subtrees, read_names, read_subtrees
from doorward.verification.path.names import CanonicalName, canonicalise_name
from doorward.verification.path.rewriting import RewrittenCertificate, rewrite_certificate
from doorward.verification.path.signatures import Signed, SignedContent
from doorward.verification.revocation.der import SEQUENCE, render_element

CERTIFICATE_LIMIT = 64 * 1024
"""Bytes of DER. Honest authorities have less than 8 KiB; name constraints of whole countries reach 50 KiB."""

POLICY_LIMIT = 256
"""Policies, and policy mappings, of one certificate. Bridge CAs of governments have some tens of mappings. Without a
limit the policy graph of a path could cost seconds."""

ANY_POLICY = "2.5.29.32.0"
VERSION_3 = x509.Version.v3

NO_REV_AVAIL = ObjectIdentifier("2.5.29.56")
"""id-ce-noRevAvail (RFC 9608 section 2)."""

_NULL = b"\x05\x00"
_ACCESS = ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string

PROCESSED = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        NO_REV_AVAIL,
    }
)
"""Extensions that are processed here or in the judgement of revocation, and may therefore be critical."""


@asn1.sequence
class _Mapping:
    issuer: ObjectIdentifier
    subject: ObjectIdentifier


@asn1.sequence
class _Mappings:
    """PolicyMappings inside an extra SEQUENCE: the library decodes a SEQUENCE OF only inside a SEQUENCE."""

    mappings: list[_Mapping]


@asn1.sequence
class _Subtree:
    """A subtree with minimum or maximum does not parse: section 4.2.1.10 allows refusing them, not ignoring them."""

    base: asn1.TLV


@asn1.sequence
class _NameConstraints:
    """Only for that rule; the library reads the names, and ignores minimum and maximum."""

    permitted: Annotated[list[_Subtree] | None, asn1.Implicit(0)]
    excluded: Annotated[list[_Subtree] | None, asn1.Implicit(1)]


@asn1.sequence
class _Extension:
    oid: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]  # noqa: FBT003  the library's API
    value: bytes


@asn1.sequence
class _KeyInfo:
    algorithm: asn1.TLV
    key: asn1.BitString


@asn1.sequence
class _ToBeSigned:
    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: int
    algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    key: _KeyInfo
    issuer_unique: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[_Extension] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    """The outline of a certificate, for what the library does not return: algorithm fields, mappings, name bytes."""

    tbs: _ToBeSigned
    algorithm: asn1.TLV
    signature: asn1.BitString

    def find(self, oid: ObjectIdentifier) -> bytes | None:
        """Return the DER of an extension, or None."""
        return next((bytes(one.value) for one in self.tbs.extensions or () if one.oid == oid), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathCertificate:
    """One certificate as the steps of RFC 5280 section 6.1 need it.

    `certificate` is what the library parsed: the certificate itself, or a rewritten copy (rewriting), which must only be
    read. `der`, `signed`, `issuer_der` and `subject_der` are the original; `subject_text` and `issuer_text` are its names
    in RFC 4514 form; `opaque` holds the names, and values in names, that could not be decoded.

    `critical` holds the dotted identifiers of the critical extensions, `present` of all; `key` is None if the library
    does not know the kind or curve of the public key; `policies` are dotted, None without the extension; `mappings` are
    pairs of issuer's and subject's policy; `explicit_policy`, `inhibit_mapping` and `inhibit_any` are counts of
    certificates to skip; `algorithms_agree` tells whether the signed and the outer signature algorithm are the same bytes
    (4.1.1.2); `signature_whole` whether the signature consists of whole octets; `names` are the names that constraints
    apply to: first those of `alternative`, in the same order; `no_rev_avail` tells that its issuer publishes no revocation
    information about it (RFC 9608); `names_ocsp` that it names an OCSP responder.
    """

    certificate: x509.Certificate
    der: bytes
    signed: Signed
    issuer_der: bytes
    subject_der: bytes
    issuer_text: str
    subject_text: str
    opaque: tuple[bytes, ...]
    sha256: str
    version: x509.Version
    subject: CanonicalName
    issuer: CanonicalName
    not_before: datetime
    not_after: datetime
    key: object | None
    key_bits: bytes
    key_algorithm: bytes
    serial: int
    algorithms_agree: bool
    signature_whole: bool
    present: frozenset[str]
    critical: frozenset[str]
    is_ca: bool
    path_length: int | None
    key_usage: x509.KeyUsage | None
    purposes: frozenset[str] | None
    alternative: tuple[x509.GeneralName, ...]
    names: tuple[ConstrainedName, ...]
    subtrees: Subtrees | None
    policies: frozenset[str] | None
    mappings: tuple[tuple[str, str], ...]
    explicit_policy: int | None
    inhibit_mapping: int | None
    inhibit_any: int | None
    subject_key_id: bytes | None
    authority_key_id: bytes | None
    crl_points: tuple[x509.DistributionPoint, ...]
    no_rev_avail: bool
    names_ocsp: bool

    @property
    def signs(self) -> bool:
        """Whether keyUsage allows digital signatures; true if there is no keyUsage (4.2.1.3)."""
        return self.key_usage is None or self.key_usage.digital_signature

    @property
    def self_issued(self) -> bool:
        """Whether issuer and subject are the same name (6.1): a CA that certifies its own new key."""
        return self.subject == self.issuer

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathCertificate) and other.sha256 == self.sha256


def parse_path_certificate(der: bytes) -> PathCertificate:
    """Return the content of one certificate.

    Args:
        der: one X.509 certificate of any version, at most 64 KiB, nothing after it.

    Raises:
        MalformedInput: `certificate-too-large` or `certificate-malformed`.

    Standard: RFC 5280 sections 4.1 and 4.2.
    """
    check_certificate_size(der, CERTIFICATE_LIMIT)
    with suppress(Exception):  # the library may raise anything
        return _read(x509.load_der_x509_certificate(der), der)
    try:
        return _read_copy(rewrite_certificate(der), der)
    except Exception as fault:  # a parser is total
        raise MalformedInput("certificate-malformed", "this is not an X.509 certificate") from fault


def check_certificate_size(der: bytes, limit: int) -> None:
    """Raise `MalformedInput`, `certificate-too-large`, if there are more bytes than the limit."""
    if len(der) > limit:
        message = f"the certificate has {len(der)} bytes, and at most {limit} are allowed"
        raise MalformedInput("certificate-too-large", message, size=len(der))


def _read_copy(rewritten: RewrittenCertificate, der: bytes) -> PathCertificate:
    """Return the content of a certificate that the library cannot read: see `rewriting`."""
    copy = x509.load_der_x509_certificate(rewritten.der)
    read = _read(copy, rewritten.der)
    alternative = (*read.alternative, *rewritten.names)
    subject = rewritten.subject.canonicalise()
    return replace(
        read,
        der=der,
        signed=SignedContent(content=rewritten.content, algorithm=copy, signature=copy.signature),
        issuer_der=rewritten.issuer_der,
        subject_der=rewritten.subject_der,
        issuer_text=rewritten.issuer.render(copy.issuer),
        subject_text=rewritten.subject.render(copy.subject),
        opaque=(*(one.value for one in rewritten.names), *rewritten.subject.opaque),
        sha256=hashlib.sha256(der).hexdigest(),
        subject=subject,
        issuer=rewritten.issuer.canonicalise(),
        algorithms_agree=rewritten.algorithms_agree,
        present=rewritten.present,
        critical=rewritten.critical,
        alternative=alternative,
        names=read_names(copy.subject, subject, alternative),
        # An extension that cannot be read at all is left out of the copy: what it says is not known.
        names_ocsp=read.names_ocsp or _ACCESS in rewritten.present - read.present,
    )


def _read(certificate: x509.Certificate, der: bytes) -> PathCertificate:
    extensions = Extensions(certificate)
    find = extensions.find
    basic = find(x509.BasicConstraints)
    usages = find(x509.ExtendedKeyUsage)
    constraints = find(x509.NameConstraints)
    policies = find(x509.CertificatePolicies)
    policy_constraints = find(x509.PolicyConstraints)
    inhibit_any = find(x509.InhibitAnyPolicy)
    subject_key = find(x509.SubjectKeyIdentifier)
    authority_key = find(x509.AuthorityKeyIdentifier)
    access = find(x509.AuthorityInformationAccess)
    outline = asn1.decode_der(_Certificate, der)
    if constraints is not None:
        asn1.decode_der(_NameConstraints, outline.find(ExtensionOID.NAME_CONSTRAINTS) or b"")
    alternative = tuple(find(x509.SubjectAlternativeName) or ())
    subject = canonicalise_name(certificate.subject)
    outer, inner = outline.algorithm, outline.tbs.algorithm
    return PathCertificate(
        certificate=certificate,
        der=der,
        signed=certificate,
        issuer_der=_render_tlv(outline.tbs.issuer),
        subject_der=_render_tlv(outline.tbs.subject),
        issuer_text=render_distinguished_name(certificate.issuer),
        subject_text=render_distinguished_name(certificate.subject),
        opaque=(),
        sha256=hashlib.sha256(der).hexdigest(),
        version=certificate.version,
        subject=subject,
        issuer=canonicalise_name(certificate.issuer),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=_read_key(certificate),
        key_bits=bytes(outline.tbs.key.key.as_bytes()),
        key_algorithm=bytes(outline.tbs.key.algorithm.data),
        serial=certificate.serial_number,
        algorithms_agree=(outer.tag_bytes, outer.data) == (inner.tag_bytes, inner.data),
        signature_whole=not outline.signature.padding_bits(),
        present=extensions.present,
        critical=extensions.critical,
        is_ca=basic is not None and basic.ca,
        path_length=basic.path_length if basic is not None else None,
        key_usage=find(x509.KeyUsage),
        purposes=frozenset(one.dotted_string for one in usages) if usages is not None else None,
        alternative=alternative,
        names=read_names(certificate.subject, subject, alternative),
        subtrees=read_subtrees(constraints) if constraints is not None else None,
        policies=_read_policies(policies) if policies is not None else None,
        mappings=_read_mappings(outline.find(ExtensionOID.POLICY_MAPPINGS)),
        explicit_policy=policy_constraints.require_explicit_policy if policy_constraints else None,
        inhibit_mapping=policy_constraints.inhibit_policy_mapping if policy_constraints else None,
        inhibit_any=inhibit_any.skip_certs if inhibit_any is not None else None,
        subject_key_id=subject_key.digest if subject_key is not None else None,
        authority_key_id=authority_key.key_identifier if authority_key is not None else None,
        crl_points=tuple(find(x509.CRLDistributionPoints) or ()),
        no_rev_avail=_read_no_rev_avail(outline.find(NO_REV_AVAIL)),
        names_ocsp=any(one.access_method == AuthorityInformationAccessOID.OCSP for one in access or ()),
    )


def _read_no_rev_avail(value: bytes | None) -> bool:
    """Return whether noRevAvail is present; with any value but NULL the certificate is malformed."""
    if value not in (None, _NULL):
        raise ValueError("the value of noRevAvail is not NULL")
    return value is not None


def _render_tlv(element: asn1.TLV) -> bytes:
    return render_element(SEQUENCE, bytes(element.data))


def _read_key(certificate: x509.Certificate) -> object | None:
    try:
        return certificate.public_key()
    except Exception:  # noqa: BLE001  unknown curve or kind: we could not verify any signature with it
        return None


def _read_policies(extension: x509.CertificatePolicies) -> frozenset[str]:
    """Return the policies. A policy that occurs twice is malformed: 4.2.1.4, "MUST NOT appear more than once"."""
    found = [one.policy_identifier.dotted_string for one in extension]
    if len(set(found)) != len(found) or len(found) > POLICY_LIMIT:
        raise ValueError("a policy occurs twice, or there are too many")
    return frozenset(found)


def _read_mappings(value: bytes | None) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    size = len(value)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    length = octets if size < 0x80 else bytes((0x80 | len(octets),)) + octets  # noqa: PLR2004  X.690 section 8.1.3
    decoded = asn1.decode_der(_Mappings, b"\x30" + length + value)
    if len(decoded.mappings) > POLICY_LIMIT:
        raise ValueError("there are too many mappings")
    return tuple((one.issuer.dotted_string, one.subject.dotted_string) for one in decoded.mappings)
