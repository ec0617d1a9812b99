"""The self-signed certificate of a tls-alpn-01 challenge. It has a key of its own and no authority signs it.

Standard: RFC 8737 section 3: the one name is the host, and `acmeIdentifier` is critical.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFETIME = timedelta(days=1)


def build_challenge_certificate(
    key: EllipticCurvePrivateKey, host: str, proof: x509.UnrecognizedExtension, serial: int, now: datetime
) -> x509.Certificate:
    """Return the certificate.

    Args:
        key: made for this certificate alone.
        host: a DNS name.
        proof: `acmeIdentifier`, of `wire.acme_jws.alpn_extension`.
        serial: a positive number.
        now: aware, UTC.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(proof, critical=True)
        .sign(key, hashes.SHA256())
    )
