"""Certificates that our own issuing key signs past every rule of ours: what a broken or old authority might have made."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from doorward.core.ports import PrivateKey
from doorward.stores.records import AuthorityKind
from tests.support.doorway import DOMAIN, Doorway, Identity


def forge(
    door: Doorway,
    name: str,
    *,
    begins: timedelta = timedelta(minutes=-5),
    ends: timedelta = timedelta(days=1),
    purpose: ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    signer: PrivateKey | None = None,
    issuer: x509.Name | None = None,
) -> Identity:
    """Sign a certificate for `name` directly.

    Args:
        door: whose issuing authority signs.
        name: common name, and person in the URI.
        begins: notBefore, from now.
        ends: notAfter, from now.
        purpose: the only extended key usage.
        signer: another key that signs instead.
        issuer: another issuer name.
    """
    with door.services.work.read() as stores:
        record = stores.authorities.current(AuthorityKind.ISSUING)
    assert record is not None
    assert door.services.keys is not None
    ca = x509.load_der_x509_certificate(record.der)
    key = ec.generate_private_key(ec.SECP256R1())
    now = door.services.clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer or ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/person/{name}")]),
            critical=False,
        )
        .sign(signer or door.services.keys.load(record.key_name), hashes.SHA256())
    )
    folder = door.folder / "forged" / f"{name}-{certificate.serial_number:x}"
    return write_identity(folder, certificate, key)


def write_identity(folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    """Write certificate and key as PEM files."""
    folder.mkdir(parents=True)
    identity = Identity(chain=folder / "chain.pem", key=folder / "key.pem")
    identity.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    identity.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return identity
