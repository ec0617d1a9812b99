"""A toy certification authority for tests: right by default, wrong on purpose where asked.

It never uses the product's own minting: the checker's tests must not depend on the maker.

    ca = ToyCA.create()
    leaf = ca.leaf("alice")                              # CN and URI SAN of person alice
    late = ca.leaf("alice", not_after=NOON - timedelta(days=1))
    evil = ToyCA.create(name=ca.name).leaf("alice")      # another key under the same CA name
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from doorward.core.ports import KeyKind, PrivateKey
from tests.support.ports import NOON, PlainKeys

TRUST_DOMAIN = "corp.example"
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

_KEYS = PlainKeys()
_SERIALS = itertools.count(0x1000_0000_0000_0001)


class Issued(NamedTuple):
    """A certificate and its private key; unpacks as `certificate, key`."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

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


def pem_of(certificate: x509.Certificate) -> bytes:
    """The PEM text of a certificate."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem_of(key: PrivateKey) -> bytes:
    """The PEM text (PKCS#8, not encrypted) of a private key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_hash(key: PrivateKey) -> hashes.HashAlgorithm | None:
    """The hash that `key` signs with here; Ed25519 and Ed448 bring their own."""
    own = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return None if own else hashes.SHA256()


@functools.lru_cache(maxsize=32)
def cached_key(kind: KeyKind = KeyKind.P256, number: int = 0) -> PrivateKey:
    """One of a few real keys, made once per test run; `number` tells several of a kind apart."""
    return _KEYS.generate(kind)


@dataclass(frozen=True)
class ToyCA:
    """A CA certificate with its key, and the certificates above it (`chain`, nearest first)."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def create(
        cls,
        name: str = "Toy Root",
        *,
        key_kind: KeyKind = KeyKind.P256,
        not_before: datetime = NOON - timedelta(days=1),
        not_after: datetime = NOON + timedelta(days=3650),
        path_length: int | None = None,
    ) -> ToyCA:
        """A self-signed root with a key of its own."""
        key = _KEYS.generate(key_kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), (not_before, not_after))
        builder = _with_ca_extensions(builder, path_length)
        return cls(builder.sign(key, signing_hash(key)), key)

    @property
    def name(self) -> str:
        """The common name of this CA."""
        value = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        assert isinstance(value, str)
        return value

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return pem_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM, not encrypted."""
        return key_pem_of(self.key)

    @property
    def chain_pem(self) -> bytes:
        """This CA's certificate and those above it, nearest first."""
        return b"".join(pem_of(certificate) for certificate in (self.certificate, *self.chain))

    def issuing(
        self,
        name: str = "Toy Issuing",
        *,
        key_kind: KeyKind = KeyKind.P256,
        not_before: datetime = NOON - timedelta(days=1),
        not_after: datetime = NOON + timedelta(days=1825),
        path_length: int | None = 0,
    ) -> ToyCA:
        """A subordinate CA signed by this one."""
        key = _KEYS.generate(key_kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, key.public_key(), (not_before, not_after))
        builder = _with_ca_extensions(builder, path_length).add_extension(
            self._authority_key(), critical=False
        )
        signed = builder.sign(self.key, signing_hash(self.key))
        return ToyCA(signed, key, (self.certificate, *self.chain))

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
        key: PrivateKey | None = None,
        key_kind: KeyKind = KeyKind.P256,
        not_before: datetime = NOON - timedelta(hours=1),
        not_after: datetime = NOON + timedelta(days=90),
        extended_key_usage: Sequence[ObjectIdentifier] | None = (CLIENT,),
        is_ca: bool = False,
        serial: int | None = None,
        self_signed: bool = False,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """An end-entity certificate and its key.

        `name` is the common name and the last part of the URI SAN; `uris` replaces that URI (`()` leaves
        it out); `extended_key_usage=None` leaves the extension out; `is_ca` claims to be a CA;
        `self_signed` signs with the leaf's own key while still naming this CA as issuer; `extra` holds
        more extensions, each with its criticality.
        """
        leaf_key = key or _KEYS.generate(key_kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(
            subject, self.certificate.subject, leaf_key.public_key(), (not_before, not_after), serial
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True, key_cert_sign=is_ca), critical=True)
        if extended_key_usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended_key_usage), critical=False)
        if uris is None:
            uris = (f"spiffe://{trust_domain}/{kind}/{name}",)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(host) for host in dns]
        names += [x509.IPAddress(ip_address(address)) for address in ips]
        names += [x509.RFC822Name(address) for address in emails]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(self._authority_key(), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        signer = leaf_key if self_signed else self.key
        return Issued(builder.sign(signer, signing_hash(signer)), leaf_key)

    def server(self, *hosts: str, ips: Sequence[str] = ("127.0.0.1",), **options: object) -> Issued:
        """A server certificate for DNS `hosts` (default `localhost`) and addresses."""
        names = hosts or ("localhost",)
        arguments = {"uris": (), "dns": names, "ips": ips, "extended_key_usage": (SERVER,), **options}
        return self.leaf(names[0][:64], **arguments)  # type: ignore[arg-type]  # keywords are passed through

    def crl(self, *serials: int, number: int = 1, next_update: datetime = NOON + timedelta(days=7)) -> bytes:
        """A CRL in PEM that revokes `serials`."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(NOON - timedelta(hours=1)).next_update(next_update)
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        builder = builder.add_extension(self._authority_key(), critical=False)
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOON)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, signing_hash(self.key)).public_bytes(serialization.Encoding.PEM)

    def _authority_key(self) -> x509.AuthorityKeyIdentifier:
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: object,
    dates: tuple[datetime, datetime],
    serial: int | None = None,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.not_valid_before(dates[0]).not_valid_after(dates[1])
    builder = builder.serial_number(next(_SERIALS) if serial is None else serial)
    builder = builder.public_key(public_key)  # type: ignore[arg-type]  # any key the library knows
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)  # type: ignore[arg-type]
    return builder.add_extension(identifier, critical=False)


def _with_ca_extensions(builder: x509.CertificateBuilder, path_length: int | None) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    usage = _usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    return builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)


def _usage(*, digital_signature: bool, key_cert_sign: bool, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
