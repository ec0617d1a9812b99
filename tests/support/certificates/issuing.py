"""Certificates and their keys: right by default, wrong on purpose if asked.

    ca = toy_ca()
    leaf = ca.leaf("alice")                               # CN and URI SAN of person alice
    late = ca.leaf("alice", not_after=NOON - timedelta(days=1))
    evil = toy_ca(ca.name).leaf("alice")                  # another key under the same CA name

    root = certify("Root")                                # self-signed; without names and with serial 7
    issuing = certify("Issuing", root)
    leaf = certify("alice", issuing, ca=False)
    crossed = certify("Issuing", other_root, key=issuing.key)
    odd = certify("Odd", root, raw=[(NAME_CONSTRAINTS, b"...", True)], drop=[x509.KeyUsage])

`rebuild` writes what the library's builder refuses to: other versions, other algorithm fields.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    ExtensionOID,
    NameOID,
    ObjectIdentifier,
)

from doorward.core.ports import KeyKind, PrivateKey
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from tests.support.certificates.der import children, edit_certificate, oid_der, tlv
from tests.support.ports import NOON, PlainKeys

TRUST_DOMAIN = "corp.example"
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
ANY_POLICY = "2.5.29.32.0"

_KEYS = PlainKeys()
_SERIALS = itertools.count(0x1000_0000_0000_0001)
_WITH_OWN_HASH = (
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
    mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PrivateKey,
)

EVERY_EXTENSION = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.ExtendedKeyUsage,
)
"""Those that a certificate has by default; `drop=` takes them."""

Extensions = Sequence[tuple[x509.ExtensionType, bool]]
"""Extensions, each with its criticality."""


@dataclass(frozen=True, eq=False)
class CertifiedKey:
    """A certificate and its private key; it issues others, even if it is no authority."""

    certificate: x509.Certificate
    key: Any

    @property
    def name(self) -> str:
        """The common name."""
        value = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        assert isinstance(value, str)
        return value

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return pem_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM, not encrypted."""
        return key_pem_of(self.key)

    @property
    def sha256(self) -> str:
        """The lower-case hex digest of the DER."""
        return hashlib.sha256(self.der).hexdigest()

    @functools.cached_property
    def parsed(self) -> PathCertificate:
        """What the product's judge reads in it."""
        with warnings.catch_warnings():  # the library warns about serial numbers that are not positive
            warnings.simplefilter("ignore")
            return parse_path_certificate(self.der)

    def write(self, folder: Path, stem: str, *chain: CertifiedKey) -> tuple[Path, Path]:
        """Write the certificate with those above it, and the key; return the two files."""
        folder.mkdir(parents=True, exist_ok=True)
        files = folder / f"{stem}.pem", folder / f"{stem}.key"
        files[0].write_bytes(self.pem + b"".join(one.pem for one in chain))
        files[1].write_bytes(self.key_pem)
        return files

    def issuing(self, name: str = "Toy Issuing", **options: Any) -> CertifiedKey:
        """A subordinate CA for five years that issues leaves only; `options` as of `certify`."""
        return certify(name, self, **{"path_length": 0, **_lasting(1825), **options})

    def leaf(
        self,
        name: str = "alice",
        *,
        kind: str = "person",
        trust_domain: str = TRUST_DOMAIN,
        uris: Sequence[str] | None = None,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        emails: Sequence[str] = (),
        **options: Any,
    ) -> CertifiedKey:
        """A certificate for a person; `options` as of `certify`.

        `name` is the common name and the last part of the URI SAN; `uris` replaces that URI (`()` leaves
        it out).
        """
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(uri)
            for uri in ((f"spiffe://{trust_domain}/{kind}/{name}",) if uris is None else uris)
        ]
        names += [x509.DNSName(host) for host in dns]
        names += [x509.IPAddress(ip_address(address)) for address in ips]
        names += [x509.RFC822Name(address) for address in emails]
        return certify(name, self, names=names, **{"ca": False, "serial": next(_SERIALS), **options})

    def server(self, *hosts: str, ips: Sequence[str] = ("127.0.0.1",), **options: Any) -> CertifiedKey:
        """A server certificate for DNS `hosts` (default `localhost`) and addresses."""
        names = hosts or ("localhost",)
        given = {"uris": (), "dns": names, "ips": ips, "purposes": (SERVER,), **options}
        return self.leaf(names[0][:64], **given)


def toy_ca(name: str = "Toy Root", **options: Any) -> CertifiedKey:
    """A self-signed root for ten years with a key of its own; `options` as of `certify`."""
    return certify(name, **{**_lasting(3650), **options})


def _lasting(days: int) -> dict[str, Any]:
    return {"serial": next(_SERIALS), "not_after": NOON + timedelta(days=days)}


def certify(
    subject: str | x509.Name,
    issuer: CertifiedKey | None = None,
    *,
    ca: bool = True,
    key: Any = None,
    key_kind: KeyKind = KeyKind.P256,
    issuer_name: x509.Name | None = None,
    path_length: int | None = None,
    basic_critical: bool = True,
    usage: Sequence[str] | None = None,
    purposes: Sequence[ObjectIdentifier] | None = None,
    names: Sequence[x509.GeneralName] = (),
    names_critical: bool = False,
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
    policy: dict[str, Any] | None = None,
    not_before: datetime = NOON - timedelta(days=1),
    not_after: datetime = NOON + timedelta(days=90),
    drop: Iterable[type[x509.ExtensionType]] = (),
    extra: Extensions = (),
    raw: Sequence[tuple[ObjectIdentifier, bytes, bool]] = (),
    authority_key: bytes | None = None,
    signer: Any = None,
    serial: int = 7,
    hash_algorithm: hashes.HashAlgorithm | None = None,
    pss: padding.PSS | None = None,
) -> CertifiedKey:
    """One certificate, right by default; an authority unless `ca=False`, self-signed without `issuer`.

    `drop` leaves default extensions out; `extra` and `raw` replace those of their kind; `usage` names the
    bits of keyUsage; `purposes` is `clientAuth` for a leaf by default, `()` leaves it out; `policy` is as
    of `policy_extensions`; `authority_key` replaces the authorityKeyIdentifier; `signer` signs in the
    issuer's place.
    """
    own_key = key or _KEYS.generate(key_kind)
    subject = name(subject) if isinstance(subject, str) else subject
    above = issuer.certificate.subject if issuer else subject
    signing = signer or (issuer.key if issuer else own_key)
    if usage is None:
        usage = ("key_cert_sign", "crl_sign") if ca else ("digital_signature",)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=ca, path_length=path_length), basic_critical),
        (key_usage(*usage), True),
        (x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), False),
    ]
    if issuer or authority_key:
        identifier = authority_key or key_identifier(issuer or own_key)
        found.append((x509.AuthorityKeyIdentifier(identifier, None, None), False))
    purposes = ((CLIENT,) if not ca else None) if purposes is None else purposes
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    if names:
        found.append((x509.SubjectAlternativeName(names), names_critical))
    if permitted or excluded:
        found.append((x509.NameConstraints(permitted or None, excluded or None), True))
    found += policy_extensions(**policy or {})
    replacing = [*extra, *((x509.UnrecognizedExtension(oid, value), flag) for oid, value, flag in raw)]
    gone = {kind.oid for kind in drop} | {one.oid for one, _ in replacing}
    builder = x509.CertificateBuilder(
        above if issuer_name is None else issuer_name,
        subject,
        own_key.public_key(),
        serial,
        not_before,
        not_after,
    )
    for extension, critical in [*(one for one in found if one[0].oid not in gone), *replacing]:
        builder = builder.add_extension(extension, critical=critical)
    hashed: Any = hash_algorithm or signing_hash(signing)  # some of them are wrong on purpose
    made = builder.sign(signing, hashed, rsa_padding=pss)
    return CertifiedKey(made, own_key)


def rebuild(
    node: CertifiedKey,
    signer: Any,
    edit: Callable[[list[bytes]], list[bytes]],
    *,
    outer: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> CertifiedKey:
    """The same certificate with other fields, signed again (`der.edit_certificate`)."""
    der = edit_certificate(node.der, signer, edit, outer=outer, sign=sign)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CertifiedKey(x509.load_der_x509_certificate(der), node.key)


def odd_certificate(
    node: CertifiedKey,
    signer: Any,
    *,
    subject: Sequence[bytes] | None = None,
    issuer: Sequence[bytes] | None = None,
    extensions: Sequence[bytes] = (),
    algorithm: bytes | None = None,
    outer: bytes | None = None,
) -> bytes:
    """The same certificate with other names, more extensions, or other algorithm fields; the library may not read it.

    `subject` and `issuer` are relative names (`rdn`); an extension replaces those of its kind.
    """

    def edit(fields: list[bytes]) -> list[bytes]:
        fields[2] = algorithm or fields[2]
        fields[3] = fields[3] if issuer is None else tlv(0x30, *issuer)
        fields[5] = fields[5] if subject is None else tlv(0x30, *subject)
        kinds = {children(one)[0] for one in extensions}
        kept = [one for one in children(children(fields[7])[0]) if children(one)[0] not in kinds]
        return [*fields[:7], tlv(0xA3, tlv(0x30, *kept, *extensions))]

    return edit_certificate(node.der, signer, edit, outer=outer or algorithm)


def version_1(node: CertifiedKey, signer: Any) -> CertifiedKey:
    """The same certificate in version 1: without the version and without extensions."""
    return rebuild(node, signer, lambda fields: fields[1:-1])


def with_serial(node: CertifiedKey, signer: Any, serial: bytes) -> CertifiedKey:
    """The same certificate with other octets for a serial number."""
    return rebuild(node, signer, lambda fields: [fields[0], tlv(0x02, serial), *fields[2:]])


def name(text: str) -> x509.Name:
    """A name of one common name; the empty name for the empty text."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def key_usage(*bits: str) -> x509.KeyUsage:
    """The keyUsage extension with these bits."""
    first = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    second = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{bit: bit in bits for bit in (*first, *second)})


def key_identifier(key: Any) -> bytes:
    """The identifier of a private key or of the key in a certificate, as in the two key identifiers."""
    public = key.certificate.public_key() if isinstance(key, CertifiedKey) else key.public_key()
    return x509.SubjectKeyIdentifier.from_public_key(public).digest


def policies(*dotted: str) -> x509.CertificatePolicies:
    """The certificatePolicies extension."""
    return x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(one), None) for one in dotted])


def mapping_extension(pairs: Iterable[tuple[str, str]]) -> x509.UnrecognizedExtension:
    """The policyMappings extension, which the library cannot write."""
    encoded = [tlv(0x30, *(oid_der(one) for one in pair)) for pair in pairs]
    return x509.UnrecognizedExtension(ExtensionOID.POLICY_MAPPINGS, tlv(0x30, *encoded))


def policy_extensions(
    *,
    valid: Sequence[str] = (),
    mappings: Sequence[tuple[str, str]] = (),
    explicit: int | None = None,
    inhibit_mapping: int | None = None,
    inhibit_any: int | None = None,
) -> Extensions:
    """The four extensions about policies, those that are asked for."""
    found: list[tuple[x509.ExtensionType, bool]] = []
    if valid:
        found.append((policies(*valid), False))
    if mappings:
        found.append((mapping_extension(mappings), True))
    if explicit is not None or inhibit_mapping is not None:
        found.append((x509.PolicyConstraints(explicit, inhibit_mapping), True))
    if inhibit_any is not None:
        found.append((x509.InhibitAnyPolicy(inhibit_any), True))
    return found


def crl_at(*points: str | Sequence[str]) -> tuple[x509.ExtensionType, bool]:
    """The extension that says where CRLs are: a distribution point for each URL, or for several that go together."""
    every = ([point] if isinstance(point, str) else point for point in points)
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([_uri(url) for url in urls], None, None, None) for urls in every]
    ), False


def responder_at(
    url: str, method: ObjectIdentifier = AuthorityInformationAccessOID.OCSP
) -> tuple[x509.ExtensionType, bool]:
    """The extension that says where OCSP is answered."""
    return x509.AuthorityInformationAccess([x509.AccessDescription(method, _uri(url))]), False


def _uri(url: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(url)


def around_now(days: int = 30) -> dict[str, Any]:
    """Dates of `certify` for clients and servers that look at the real clock: from yesterday, for `days`."""
    now = datetime.now(UTC).replace(microsecond=0)
    return {"not_before": now - timedelta(days=1), "not_after": now + timedelta(days=days)}


def pem_of(*certificates: x509.Certificate) -> bytes:
    """The PEM text of certificates, one after the other."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem_of(key: PrivateKey) -> bytes:
    """The PEM text (PKCS#8, not encrypted) of a private key."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_hash(key: Any) -> hashes.SHA256 | None:
    """The hash that `key` signs with here; EdDSA and ML-DSA bring their own."""
    return None if isinstance(key, _WITH_OWN_HASH) else hashes.SHA256()


@functools.cache
def cached_key(kind: KeyKind = KeyKind.P256, number: int = 0) -> PrivateKey:
    """One of a few real keys, made once per test run; `number` tells several of a kind apart."""
    return _KEYS.generate(kind)


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, made once for each size."""
    return rsa.generate_private_key(65537, bits)
