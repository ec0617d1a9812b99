"""Signatures of certificates, CRLs and OCSP responses: which algorithms are strong enough, and whether one is valid.

Not here: who must have signed (validation). A signature is not checked if its algorithm is not listed, or if the
algorithm does not belong to the kind of the key.
Standard: RFC 5280 section 6.1.3 (a)(1); algorithms of RFC 4055, RFC 5758, RFC 8410 and RFC 9881.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID as Algorithm

_STRONG_HASHES = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
_LEGACY_HASHES = frozenset({"sha1", "sha224", "md5"})
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_OWN_HASH = (
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
_SIGNS = {
    **dict.fromkeys(
        (
            Algorithm.ECDSA_WITH_SHA1,
            Algorithm.ECDSA_WITH_SHA224,
            Algorithm.ECDSA_WITH_SHA256,
            Algorithm.ECDSA_WITH_SHA384,
            Algorithm.ECDSA_WITH_SHA512,
            Algorithm.ECDSA_WITH_SHA3_256,
            Algorithm.ECDSA_WITH_SHA3_384,
            Algorithm.ECDSA_WITH_SHA3_512,
        ),
        ec.EllipticCurvePublicKey,
    ),
    **dict.fromkeys(
        (
            Algorithm.RSA_WITH_MD5,
            Algorithm.RSA_WITH_SHA1,
            Algorithm.RSA_WITH_SHA224,
            Algorithm.RSA_WITH_SHA256,
            Algorithm.RSA_WITH_SHA384,
            Algorithm.RSA_WITH_SHA512,
            Algorithm.RSA_WITH_SHA3_256,
            Algorithm.RSA_WITH_SHA3_384,
            Algorithm.RSA_WITH_SHA3_512,
            Algorithm.RSASSA_PSS,
        ),
        rsa.RSAPublicKey,
    ),
    **dict.fromkeys(
        (Algorithm.DSA_WITH_SHA1, Algorithm.DSA_WITH_SHA224, Algorithm.DSA_WITH_SHA256), dsa.DSAPublicKey
    ),
    Algorithm.ED25519: ed25519.Ed25519PublicKey,
    Algorithm.ED448: ed448.Ed448PublicKey,
    Algorithm.ML_DSA_44: mldsa.MLDSA44PublicKey,
    Algorithm.ML_DSA_65: mldsa.MLDSA65PublicKey,
    Algorithm.ML_DSA_87: mldsa.MLDSA87PublicKey,
}
"""Signature algorithm -> the kind of key that it belongs to."""
_RSA_LIMIT = 16384  # bits: with a larger key one verification costs more than a handshake
_RSA_UNIT = 4096 * 4096 * 32  # squared bits of the modulus times bits of the exponent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignedContent:
    """A signed structure that the library does not parse: its signed bytes, and an outline with its algorithm."""

    content: bytes
    algorithm: x509.Certificate | x509.CertificateRevocationList
    signature: bytes


Signed = x509.Certificate | SignedContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """Which keys and hashes are strong enough.

    `accept_broken_algorithms` allows SHA-1, MD5, DSA and short RSA. It is for old test suites, never for a door.
    """

    rsa_bits: int = 2048
    accept_broken_algorithms: bool = False


def is_strong_key(key: object, strength: Strength) -> bool:
    """Return whether a public key has a kind and size that is accepted for certifying and being certified."""
    match key:
        case ec.EllipticCurvePublicKey(curve=curve):
            return curve.name in _CURVES
        case rsa.RSAPublicKey(key_size=bits):
            return bits <= _RSA_LIMIT and (bits >= strength.rsa_bits or strength.accept_broken_algorithms)
        case dsa.DSAPublicKey():
            return strength.accept_broken_algorithms
    return isinstance(key, _OWN_HASH)


def count_verification_cost(key: object) -> int:
    """Return the cost of one verification with this key, in units of one with P-256 (about 0.1 ms), rounded.

    Measured: P-384 and P-521 cost six, Ed448 and ML-DSA three to four, RSA of 2,048 bits less than one. RSA of
    16,384 bits with an exponent of 64 bits, which a certificate may choose, costs forty.
    """
    match key:
        case rsa.RSAPublicKey(key_size=bits):
            return max(1, bits * bits * key.public_numbers().e.bit_length() // _RSA_UNIT)
        case ec.EllipticCurvePublicKey(key_size=bits):
            return 1 if bits <= 256 else 6  # noqa: PLR2004  as measured
        case ed25519.Ed25519PublicKey():
            return 1
    return 4


def is_signature_valid(key: object, signed: Signed, strength: Strength) -> bool:
    """Return whether this key made the signature of a certificate, CRL or OCSP response, and whether it is strong enough.

    Args:
        key: the signer's public key, of any kind; None has made no signature.
        signed: the signed structure.
        strength: which keys and hashes are strong enough.
    """
    if not is_strong_key(key, strength):
        return False
    stated = signed.algorithm if isinstance(signed, SignedContent) else signed
    try:
        if not isinstance(key, _SIGNS[stated.signature_algorithm_oid]):
            return False
        hash_algorithm = stated.signature_hash_algorithm
        if hash_algorithm is not None and not is_strong_hash(hash_algorithm, strength):
            return False
        content = signed.content if isinstance(signed, SignedContent) else signed.tbs_certificate_bytes
        _verify(key, signed.signature, content, stated, hash_algorithm)
    except Exception:  # noqa: BLE001  also an algorithm or a field that the library does not know
        return False
    return True


def is_strong_hash(algorithm: hashes.HashAlgorithm, strength: Strength) -> bool:
    """Return whether signatures with this hash are accepted."""
    legacy = strength.accept_broken_algorithms and algorithm.name in _LEGACY_HASHES
    return algorithm.name in _STRONG_HASHES or legacy


def _verify(
    key: object,
    signature: bytes,
    content: bytes,
    stated: x509.Certificate | x509.CertificateRevocationList,
    hash_algorithm: hashes.HashAlgorithm | None,
) -> None:
    """Return if the signature is valid; raise any exception otherwise. Algorithm and key are of the same kind."""
    if isinstance(key, _OWN_HASH):
        key.verify(signature, content)
        return
    assert hash_algorithm is not None
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, content, ec.ECDSA(hash_algorithm))
    elif isinstance(key, rsa.RSAPublicKey):
        parameters = stated.signature_algorithm_parameters
        scheme = parameters if isinstance(parameters, padding.PSS) else padding.PKCS1v15()
        key.verify(signature, content, scheme, hash_algorithm)
    else:
        assert isinstance(key, dsa.DSAPublicKey)
        key.verify(signature, content, hash_algorithm)
