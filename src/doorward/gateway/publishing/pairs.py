"""Checking a certificate and its key as Envoy does, before they are sent.

Envoy must never get a pair that it refuses. All doors share one secret, the authorities that are trusted; if one door's
pair cannot be used, Envoy refuses that shared secret too, with the words about the pair, and the doors behind it in its
list get nothing: at a start these doors stay shut until the shared secret changes (measured, and shown by a test).

1. Every block of the chain is a certificate; the leaf is first. The key is not encrypted.
2. The key is the leaf's.
3. Its kind is one that Envoy takes: ECDSA with P-256, P-384 or P-521, Ed25519, RSA with 2048 bits or more.
4. The leaf does not require a stapled OCSP response (RFC 7633): we have none to give.

Not here: dates, names and purposes (portal_certificate, server_pairs): Envoy does not look at them.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_LEAST_RSA_BITS = 2048
_CURVES = (SECP256R1, SECP384R1, SECP521R1)


def check_pair(chain: bytes, key: bytes) -> str:
    """Return why Envoy would refuse a pair, in a few words for an operator; empty if it takes it.

    Args:
        chain: PEM, the leaf first.
        key: PEM.
    """
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        public = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "its certificate cannot be read"
    try:
        own = load_pem_private_key(key, password=None, unsafe_skip_rsa_key_validation=True).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the key of its certificate cannot be read, or it is encrypted"
    if own != public:
        return "the key does not fit its certificate"
    if not _is_taken(public):
        return (
            "Envoy takes no key of this kind: use ECDSA P-256, P-384 or P-521, Ed25519, or RSA with 2048 bits"
        )
    if _requires_staple(leaf):
        return "its certificate requires a stapled OCSP response (must-staple): order one without"
    return ""


def _is_taken(key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return key.key_size >= _LEAST_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, Ed25519PublicKey)


def _requires_staple(leaf: x509.Certificate) -> bool:
    try:
        features = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return False
    except ValueError:
        return False  # Envoy does not read it either
    return x509.TLSFeatureType.status_request in features
