"""Signatures on certificates, CRLs and OCSP answers: which are strong enough, and whether one holds.

Not here: whose key it should be (validation). No signature by an algorithm that is not listed is checked.
Standard: RFC 5280 section 6.1.3 (a)(1); algorithms of RFC 4055, RFC 5758, RFC 8410 and RFC 9881.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.x509 import ocsp

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
_RSA_LIMIT = 16384  # bits: beyond it one verification costs more than a handshake


Signed = x509.Certificate | x509.CertificateRevocationList | ocsp.OCSPResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """Which keys and hashes are strong enough.

    `accept_broken_algorithms` admits SHA-1, MD5, DSA and short RSA: for test suites of another age,
    never for a door.
    """

    rsa_bits: int = 2048
    accept_broken_algorithms: bool = False


def is_strong_key(key: object, strength: Strength) -> bool:
    """Return whether a public key is of a kind and size that may certify or be certified."""
    match key:
        case ec.EllipticCurvePublicKey(curve=curve):
            return curve.name in _CURVES
        case rsa.RSAPublicKey(key_size=bits):
            return bits <= _RSA_LIMIT and (bits >= strength.rsa_bits or strength.accept_broken_algorithms)
        case dsa.DSAPublicKey():
            return strength.accept_broken_algorithms
    return isinstance(key, _OWN_HASH)


def verifies(key: object, signed: Signed, strength: Strength) -> bool:
    """Return whether the signature of a certificate, CRL or OCSP answer is by this key and strong enough.

    Args:
        key: the signer's public key, of any kind; None never verifies.
        signed: what bears the signature, as the library read it.
        strength: which keys and hashes are strong enough.
    """
    if not is_strong_key(key, strength):
        return False
    try:
        hash_algorithm = signed.signature_hash_algorithm
        if hash_algorithm is not None and not is_strong_hash(hash_algorithm, strength):
            return False
        _verify(key, signed, hash_algorithm)
    except Exception:  # noqa: BLE001  also an algorithm or a field that the library does not know
        return False
    return True


def is_strong_hash(algorithm: hashes.HashAlgorithm, strength: Strength) -> bool:
    """Return whether signatures over this hash are believed."""
    legacy = strength.accept_broken_algorithms and algorithm.name in _LEGACY_HASHES
    return algorithm.name in _STRONG_HASHES or legacy


def _verify(key: object, signed: Signed, hash_algorithm: hashes.HashAlgorithm | None) -> None:
    """Return where it holds; raise anything where it does not."""
    signature, content = signed.signature, _content(signed)
    match key:
        case ec.EllipticCurvePublicKey() if hash_algorithm is not None:
            key.verify(signature, content, ec.ECDSA(hash_algorithm))
        case rsa.RSAPublicKey() if hash_algorithm is not None:
            key.verify(signature, content, _padding(signed), hash_algorithm)
        case dsa.DSAPublicKey() if hash_algorithm is not None:
            key.verify(signature, content, hash_algorithm)
        case _ if hash_algorithm is None and isinstance(key, _OWN_HASH):
            key.verify(signature, content)
        case _:
            raise InvalidSignature


def _content(signed: Signed) -> bytes:
    match signed:
        case x509.Certificate():
            return signed.tbs_certificate_bytes
        case x509.CertificateRevocationList():
            return signed.tbs_certlist_bytes
        case _:
            return signed.tbs_response_bytes


def _padding(signed: Signed) -> padding.PSS | padding.PKCS1v15:
    """The library does not give the parameters of OCSP answers: those by RSA-PSS do not verify."""
    if isinstance(signed, ocsp.OCSPResponse):
        return padding.PKCS1v15()
    parameters = signed.signature_algorithm_parameters
    return parameters if isinstance(parameters, padding.PSS) else padding.PKCS1v15()
