"""Mallory: an attacker with an authority of her own, which may have the name of our authority."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from doorward.runtime.compose import Installation
from doorward.runtime.world import SystemClock, SystemRandom
from doorward.stores.records import AuthorityKind


def make_stranger(folder: Path, installation: Installation, *, same_name: bool) -> tuple[Path, Path]:
    """Make a certificate that says "alice", signed by a key that is not ours.

    Args:
        folder: where to put it.
        installation: its issuing authority's name is used if `same_name` is set.
        same_name: whether her authority has the name of ours.

    Returns:
        The PEM files of the certificate and its key.
    """
    with installation.services.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    ours = x509.load_der_x509_certificate(issuing.der).subject
    hers = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mallory's authority")])
    their_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = SystemClock().now()
    identity = x509.UniformResourceIdentifier("spiffe://doorward.localhost/person/alice")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")]))
        .issuer_name(ours if same_name else hers)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(SystemRandom().token(16)) >> 1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(their_key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"
