"""Certification paths for tests, wrong on purpose where asked; never by the product's own minting.

    root = certify("Root")                                # self-signed anchor
    issuing = certify("Issuing", root)
    leaf = certify("alice", issuing, ca=False)
    crossed = certify("Issuing", other_root, key=issuing.key)
    odd = certify("Odd", root, raw=[(NAME_CONSTRAINTS, b"...", True)], drop=[x509.KeyUsage])

`rebuild` writes what the library's builder refuses to: other versions, other algorithm fields.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier

from doorward.core.entities import Outcome
from doorward.verification.path.building import PathJudgement, WorkBudget, judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore
from tests.support.ports import NOON
from tests.support.toy_ca import CLIENT, signing_hash

ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True, eq=False)
class Node:
    """A certificate, its key, and what the judge reads in it."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @functools.cached_property
    def parsed(self) -> PathCertificate:
        with warnings.catch_warnings():  # the library grumbles at serial numbers that are not positive
            warnings.simplefilter("ignore")
            return parse_path_certificate(self.der)


def name(text: str) -> x509.Name:
    """A name of one common name; the empty name for the empty text."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def policies(*dotted: str) -> x509.CertificatePolicies:
    """The certificatePolicies extension."""
    return x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(one), None) for one in dotted])


@dataclass(kw_only=True)
class _Policy:
    """What `policy=` may hold, each an extension."""

    valid: Sequence[str] = ()
    mappings: Sequence[tuple[str, str]] = ()
    explicit: int | None = None
    inhibit_mapping: int | None = None
    inhibit_any: int | None = None

    def extensions(self) -> list[tuple[x509.ExtensionType, bool]]:
        found: list[tuple[x509.ExtensionType, bool]] = []
        if self.valid:
            found.append((policies(*self.valid), False))
        if self.mappings:
            found.append((mapping_extension(self.mappings), True))
        if self.explicit is not None or self.inhibit_mapping is not None:
            found.append((x509.PolicyConstraints(self.explicit, self.inhibit_mapping), True))
        if self.inhibit_any is not None:
            found.append((x509.InhibitAnyPolicy(self.inhibit_any), True))
        return found


def mapping_extension(pairs: Iterable[tuple[str, str]]) -> x509.UnrecognizedExtension:
    """The policyMappings extension, which the library cannot write."""
    encoded = [tlv(0x30, *(oid_der(one) for one in pair)) for pair in pairs]
    return x509.UnrecognizedExtension(ExtensionOID.POLICY_MAPPINGS, tlv(0x30, *encoded))


def certify(
    subject: str | x509.Name,
    issuer: Node | None = None,
    *,
    ca: bool = True,
    key: Any = None,
    issuer_name: x509.Name | None = None,
    path_length: int | None = None,
    usage: Sequence[str] | None = None,
    purposes: Sequence[ObjectIdentifier] | None = None,
    names: Sequence[x509.GeneralName] = (),
    names_critical: bool = False,
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
    policy: dict[str, Any] | None = None,
    not_before: datetime = NOON - timedelta(days=1),
    not_after: datetime = NOON + timedelta(days=90),
    drop: Sequence[type[x509.ExtensionType]] = (),
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    raw: Sequence[tuple[ObjectIdentifier, bytes, bool]] = (),
    authority_key: bytes | None = None,
    signer: Any = None,
    serial: int = 7,
    hash_algorithm: hashes.HashAlgorithm | None = None,
    pss: padding.PSS | None = None,
) -> Node:
    """One certificate, right by default; an authority unless `ca=False`, self-signed without `issuer`.

    `drop` leaves default extensions out; `extra` and `raw` replace those of their kind; `usage` names the
    bits of keyUsage; `purposes` is `clientAuth` for a leaf by default; `authority_key` replaces the
    authorityKeyIdentifier; `signer` signs in the issuer's place.
    """
    own_key = key or ec.generate_private_key(ec.SECP256R1())
    subject = name(subject) if isinstance(subject, str) else subject
    above = issuer.certificate.subject if issuer else subject
    signing = signer or (issuer.key if issuer else own_key)
    if usage is None:
        usage = ("key_cert_sign", "crl_sign") if ca else ("digital_signature",)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=ca, path_length=path_length), True),
        (_usage(usage), True),
        (x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), False),
    ]
    if issuer is not None:
        identifier = authority_key or _key_identifier(issuer)
        found.append((x509.AuthorityKeyIdentifier(identifier, None, None), False))
    purposes = ((CLIENT,) if not ca else None) if purposes is None else purposes
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    if names:
        found.append((x509.SubjectAlternativeName(names), names_critical))
    if permitted or excluded:
        found.append((x509.NameConstraints(permitted or None, excluded or None), True))
    found += _Policy(**policy).extensions() if policy else []
    replacing = [
        *extra,
        *((x509.UnrecognizedExtension(oid, value), critical) for oid, value, critical in raw),
    ]
    gone = {kind.oid for kind in drop} | {one.oid for one, _ in replacing}
    builder = x509.CertificateBuilder().subject_name(subject)
    builder = builder.issuer_name(above if issuer_name is None else issuer_name).serial_number(serial)
    builder = builder.not_valid_before(not_before).not_valid_after(not_after)
    builder = builder.public_key(own_key.public_key())
    for extension, critical in [*(one for one in found if one[0].oid not in gone), *replacing]:
        builder = builder.add_extension(extension, critical=critical)
    chosen = hash_algorithm or (None if isinstance(signing, _MLDSA) else signing_hash(signing))
    return Node(builder.sign(signing, chosen, rsa_padding=pss), own_key)


_MLDSA = (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)


def _key_identifier(node: Node) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(node.certificate.public_key()).digest


def _usage(bits: Sequence[str]) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    every += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


def judge(
    leaf: Node,
    *others: Node,
    anchors: Sequence[Node],
    now: datetime = NOON,
    work: WorkBudget | None = None,
    **inputs: Any,
) -> PathJudgement:
    """Judge a leaf with `others` as intermediates."""
    store = TrustStore([one.parsed for one in anchors], [one.parsed for one in others])
    return judge_path(leaf.parsed, store, PathInputs(**inputs), now, work)


def rules_of(judgement: PathJudgement) -> list[str]:
    """The words of the rules that were broken, each once, in order; empty for a good path."""
    assert (judgement.outcome is Outcome.GOOD) is (not judgement.faults)
    return list(dict.fromkeys(fault.rule.value for fault in judgement.faults))


def tlv(tag: int, *content: bytes) -> bytes:
    """One DER value."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def oid_der(dotted: str) -> bytes:
    """An object identifier in DER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    body = b""
    for number in (first * 40 + second, *rest):
        octets = bytes((number & 0x7F,))
        while number := number >> 7:
            octets = bytes((number & 0x7F | 0x80,)) + octets
        body += octets
    return tlv(0x06, body)


def children(der: bytes) -> list[bytes]:
    """The values inside a constructed value."""
    content = der[len(der) - _content_length(der) :]
    found = []
    while content:
        size = _header_length(content) + _content_length(content)
        found.append(content[:size])
        content = content[size:]
    return found


def _header_length(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _content_length(der: bytes) -> int:
    return int.from_bytes(der[2 : _header_length(der)]) if der[1] & 0x80 else der[1]


def rebuild(
    node: Node,
    signer: Any,
    edit: Callable[[list[bytes]], list[bytes]],
    *,
    outer: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Node:
    """The same certificate with the fields of its signed part edited, signed again by an EC key.

    Fields, as in RFC 5280 section 4.1: version, serial, algorithm, issuer, validity, subject, key,
    extensions. `outer` replaces the algorithm outside (the edited inner one by default); `sign` signs in
    another way.
    """
    signed, algorithm, _ = children(node.der)
    fields = edit(children(signed))
    signed = tlv(0x30, *fields)
    signature = sign(signed) if sign else signer.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = tlv(0x30, signed, outer or algorithm, tlv(0x03, b"\0", signature))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Node(x509.load_der_x509_certificate(der), node.key)


def version_1(node: Node, signer: Any) -> Node:
    """The same certificate in version 1: without the version and without extensions."""
    return rebuild(node, signer, lambda fields: fields[1:-1])


def with_serial(node: Node, signer: Any, serial: bytes) -> Node:
    """The same certificate with other octets for a serial number."""
    return rebuild(node, signer, lambda fields: [fields[0], tlv(0x02, serial), *fields[2:]])


@functools.lru_cache(maxsize=4)
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, made once for each size."""
    return rsa.generate_private_key(65537, bits)
