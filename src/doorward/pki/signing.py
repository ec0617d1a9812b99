"""Signatures over DER structures: the algorithm of a key, and the signed structure.

Not here: what is signed (minting, crl, ocsp) and where keys are stored.
Standard: RFC 5280 section 4.1.1, RFC 5758 section 3.2, RFC 8410 section 3, RFC 4055 section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from doorward.core.errors import IntegrityError
from doorward.core.ports import PrivateKey, PublicKey
from doorward.pki.der import NULL, encode_bits, encode_oid, encode_sequence
from doorward.pki.keys import choose_hash, encode_public_key

_ECDSA_SHA256 = encode_sequence(encode_oid("1.2.840.10045.4.3.2"))
_ECDSA_SHA384 = encode_sequence(encode_oid("1.2.840.10045.4.3.3"))
_ED25519 = encode_sequence(encode_oid("1.3.101.112"))
_RSA_SHA256 = encode_sequence(encode_oid("1.2.840.113549.1.1.11"), NULL)


def encode_algorithm(key: PublicKey) -> bytes:
    """Return the AlgorithmIdentifier of the signatures that this key makes here."""
    match key:  # the usual kind is asked for first, because a question costs a microsecond
        case EllipticCurvePublicKey():
            return _ECDSA_SHA384 if isinstance(choose_hash(key), hashes.SHA384) else _ECDSA_SHA256
        case Ed25519PublicKey():
            return _ED25519
        case _:
            return _RSA_SHA256


def sign_structure(body: bytes, key: PrivateKey, expected: PublicKey) -> bytes:
    """Return SEQUENCE { body, signatureAlgorithm, signature } after verifying the signature.

    Args:
        body: the to-be-signed part, DER; the caller writes an algorithm field inside it, if there is one.
        key: signs.
        expected: the public key in the signer's certificate.

    Raises:
        IntegrityError: `issuer-key-mismatch` (nothing was signed); `signature-broken`: a faulty token or
            memory. A wrong RSA signature can reveal the private key, so it must not be published.
    """
    if encode_public_key(key.public_key()) != encode_public_key(expected):
        raise IntegrityError(
            "issuer-key-mismatch", "the signing key is not the key in the issuer's certificate"
        )
    signature = sign_raw(body, key)
    try:
        verify_raw(signature, body, expected)
    except InvalidSignature as fault:
        raise IntegrityError("signature-broken", "the signature does not verify") from fault
    return encode_sequence(body, encode_algorithm(expected), encode_bits(signature))


def sign_without_verifying(
    body: bytes, sign: Callable[[bytes], bytes], algorithm: bytes, trailer: bytes
) -> bytes:
    """Return SEQUENCE { body, signatureAlgorithm, signature, trailer } without verifying the signature.

    Only for OCSP responses: there are many, they live for minutes, and the caller has compared the keys once.
    Verifying each would take three times as long as signing.

    Args:
        body: the part to be signed, DER.
        sign: the result of `bind_key`.
        algorithm: the result of `encode_algorithm` for the same key.
        trailer: what follows the signature, DER.
    """
    return encode_sequence(body, algorithm, encode_bits(sign(body)), trailer)


def sign_raw(body: bytes, key: PrivateKey) -> bytes:
    """Return the signature itself: DER for ECDSA, PKCS#1 v1.5 with SHA-256 for RSA."""
    return bind_key(key)(body)


def bind_key(key: PrivateKey) -> Callable[[bytes], bytes]:
    """Return a function that does what `sign_raw` does with this key; the kind of the key is looked up once, not for each signature."""
    match key:
        case EllipticCurvePrivateKey():
            return partial(_sign_with_curve, key, ec.ECDSA(choose_hash(key)))
        case Ed25519PrivateKey():
            return key.sign
        case _:
            return partial(_sign_with_rsa, key)


def _sign_with_curve(key: EllipticCurvePrivateKey, algorithm: ec.ECDSA, body: bytes) -> bytes:
    return key.sign(body, algorithm)


def _sign_with_rsa(key: RSAPrivateKey, body: bytes) -> bytes:
    return key.sign(body, padding.PKCS1v15(), hashes.SHA256())


def verify_raw(signature: bytes, body: bytes, key: PublicKey) -> None:
    """Return if `key` made the signature of `sign_raw`; raise `InvalidSignature` otherwise."""
    match key:
        case EllipticCurvePublicKey():
            key.verify(signature, body, ec.ECDSA(choose_hash(key)))
        case Ed25519PublicKey():
            key.verify(signature, body)
        case _:
            key.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
