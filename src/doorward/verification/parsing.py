"""Parses a presented certificate: total, at most 16 KiB, nothing is trusted.

Not here: any judgement; the result is only what the certificate states about itself.
Not checked: the signature, the path, the dates, and whether the names are true.
Standard: RFC 5280 sections 4.1 and 4.2.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from doorward.core.certificate import CertificateContent, CertificateFacts
from doorward.core.certificate_names import render_distinguished_name, render_general_name
from doorward.core.errors import MalformedInput
from doorward.verification.content import read_content
from doorward.verification.extensions import Extensions
from doorward.verification.path.certificate import (
    PathCertificate,
    check_certificate_size,
    parse_path_certificate,
)

CERTIFICATE_LIMIT = 16 * 1024
"""Bytes of DER. The largest honest leaf (RSA 8192, a dozen names) has less than 4 KiB. Envoy's limit for the
certificates of a handshake is far higher, and the data that is parsed before any check should stay small."""

_CURVES = {"secp256r1": "p256", "secp384r1": "p384"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCertificate:
    """The parts of our own certificates that the verifier needs.

    `issuer_der` is the issuer's name as encoded in the certificate; `uris` are its URI SANs, exactly as written;
    `purposes` are dotted object identifiers, None if there is no extendedKeyUsage; `signs` is whether keyUsage allows
    digital signatures (true if there is no keyUsage); `content` is what rules may ask about it.
    """

    facts: CertificateFacts
    issuer_der: bytes
    uris: tuple[str, ...]
    purposes: frozenset[str] | None
    signs: bool
    is_ca: bool
    content: CertificateContent


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerLeaf:
    """A partner's leaf: parsed for path validation, its facts, and what rules may ask about it."""

    path: PathCertificate
    facts: CertificateFacts
    content: CertificateContent


def parse_certificate(der: bytes) -> ParsedCertificate:
    """Return the content of a certificate.

    Args:
        der: one X.509 v3 certificate in DER, at most 16 KiB, nothing after it.

    Raises:
        MalformedInput: `certificate-too-large` or `certificate-malformed`.

    Standard: RFC 5280 sections 4.1 and 4.2; a second extension of one kind is refused (4.2).
    """
    check_certificate_size(der, CERTIFICATE_LIMIT)
    with suppress(Exception):  # the library may raise anything
        return _read(x509.load_der_x509_certificate(der), der)
    leaf = parse_partner_leaf(der)
    return ParsedCertificate(
        facts=leaf.facts,
        issuer_der=leaf.path.issuer_der,
        uris=tuple(
            one.value for one in leaf.path.alternative if isinstance(one, x509.UniformResourceIdentifier)
        ),
        purposes=leaf.path.purposes,
        signs=leaf.path.signs,
        is_ca=leaf.path.is_ca,
        content=leaf.content,
    )


def parse_partner_leaf(der: bytes) -> PartnerLeaf:
    """Return the content of a partner's certificate.

    Args, Raises and Standard: as `parse_certificate`.
    """
    check_certificate_size(der, CERTIFICATE_LIMIT)
    path = parse_path_certificate(der)
    try:
        content = read_content(path.alternative, path.policies, path.key)
        return PartnerLeaf(path=path, facts=_describe(path), content=content)
    except Exception as fault:  # as above
        raise MalformedInput("certificate-malformed", "this is not an X.509 v3 certificate") from fault


def _read(certificate: x509.Certificate, der: bytes) -> ParsedCertificate:
    """Return the content; raise any exception if the certificate is malformed."""
    _require_version(certificate.version)
    find = Extensions(certificate).find
    names = tuple(find(x509.SubjectAlternativeName) or ())
    usages, key_usage = find(x509.ExtendedKeyUsage), find(x509.KeyUsage)
    basic, policies = find(x509.BasicConstraints), find(x509.CertificatePolicies)
    issuer, key = certificate.issuer, certificate.public_key()
    facts = CertificateFacts(
        sha256=hashlib.sha256(der).hexdigest(),
        serial=certificate.serial_number,
        issuer=render_distinguished_name(issuer),
        subject=render_distinguished_name(certificate.subject),
        san=tuple(render_general_name(name) for name in names),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_kind=name_key_kind(key),
        der=der,
    )
    return ParsedCertificate(
        facts=facts,
        issuer_der=issuer.public_bytes(),
        uris=tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)),
        purposes=frozenset(one.dotted_string for one in usages) if usages is not None else None,
        signs=key_usage is None or key_usage.digital_signature,
        is_ca=basic is not None and basic.ca,
        content=read_content(names, [one.policy_identifier.dotted_string for one in policies or ()], key),
    )


def _describe(path: PathCertificate) -> CertificateFacts:
    """Return the facts of a certificate that was parsed for a path, rewritten or not; raise any exception as `_read`."""
    _require_version(path.version)
    if path.key is None:
        raise ValueError("the key cannot be read")
    return CertificateFacts(
        sha256=path.sha256,
        serial=path.serial,
        issuer=path.issuer_text,
        subject=path.subject_text,
        san=tuple(render_general_name(name) for name in path.alternative),
        not_before=path.not_before,
        not_after=path.not_after,
        key_kind=name_key_kind(path.key),
        der=path.der,
    )


def _require_version(version: x509.Version) -> None:
    if version is not x509.Version.v3:
        raise ValueError("not version 3")


def name_key_kind(key: object) -> str:
    """Return `p256`, `p384`, `ed25519`, `rsa` with its bits, or `other`. This is a name, not a judgement."""
    match key:
        case EllipticCurvePublicKey(curve=curve):
            return _CURVES.get(curve.name, "other")
        case Ed25519PublicKey():
            return "ed25519"
        case RSAPublicKey(key_size=bits):
            return f"rsa{bits}"
        case _:
            return "other"
