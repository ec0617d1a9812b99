"""Which public keys Doorward certifies: kinds, sizes and known weaknesses.

Not here: making keys (core.ports.KeyFactory) and storing them (storage.keystore).
Kinds: ECDSA P-256 and P-384, Ed25519, RSA with 2048 to 8192 bits; in requests RSA with at most 4096 bits. Excluded on purpose: P-521 (Envoy's
BoringSSL does not offer it to clients), secp256k1, Ed448, DSA, and everything below 112 bits of strength.
Standard: RFC 5280 section 4.1.2.7, NIST SP 800-57 part 1, FIPS 186-5 section 5.1.
"""

from __future__ import annotations

import hashlib
import math

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind, PrivateKey, PublicKey

_CURVES = {"secp256r1": "p256", "secp384r1": "p384"}
_RSA_BITS = range(2048, 8192 + 1)  # 8192 limits the cost of each verification (OpenSSL refuses > 16384)
_MOST_REQUESTED_BITS = 4096
_EXPONENTS = range(65537, 1 << 32, 2)  # odd; lower bound of FIPS 186-5; BoringSSL refuses more than 33 bits
_FERMAT_ROUNDS = 100  # as boulder's goodkey: finds primes that are closer than a correct generator makes them


def _list_primes(limit: int) -> list[int]:
    """Return the primes below `limit`."""
    return [n for n in range(2, limit) if all(n % d for d in range(2, math.isqrt(n) + 1))]


_SMALL_FACTORS = math.prod(
    _list_primes(752)
)  # boulder's goodkey and CA/Browser Forum 6.1.6 have the same bound
# ROCA (CVE-2017-15361): modulo each of these primes, a modulus of the broken generator is a power of 65537.
_ROCA_SUBGROUPS = {
    prime: frozenset(pow(65537, power, prime) for power in range(prime)) for prime in _list_primes(168)[1:]
}


def check_public_key(key: object) -> tuple[PublicKey, str]:
    """Return a key that may be certified, and its kind: `p256`, `p384`, `ed25519` or `rsa<bits>`.

    Raises:
        MalformedInput: `key-kind-refused` for another kind, `key-weak` for a weak key.

    Not checked: lists of compromised keys.
    """
    match key:
        case EllipticCurvePublicKey(curve=curve) if curve.name in _CURVES:
            return key, _CURVES[curve.name]
        case Ed25519PublicKey():
            return key, "ed25519"
        case RSAPublicKey():
            numbers = key.public_numbers()
            if weakness := find_rsa_weakness(numbers.n, numbers.e):
                hint = "make a new key with openssl or with doorward enroll"
                raise MalformedInput("key-weak", f"this RSA key is weak: {weakness}", hint=hint)
            return key, f"rsa{key.key_size}"
        case _:
            hint = "use ECDSA P-256 or P-384, Ed25519, or RSA with 2048 to 8192 bits"
            raise MalformedInput("key-kind-refused", "Doorward does not certify keys of this kind", hint=hint)


def check_requested_key(key: object) -> tuple[PublicKey, str]:
    """Return the key of a request, as `check_public_key`, if its RSA modulus has at most 4096 bits.

    A stranger chooses this key. Judging one of 8192 bits costs 3 ms, several times the TLS handshake, and gives holders
    nothing: all keys of ours above it are weaker. Precedent: boulder's goodkey.

    Raises:
        MalformedInput: `key-kind-refused`, `key-weak`.
    """
    if isinstance(key, RSAPublicKey) and key.key_size > _MOST_REQUESTED_BITS:
        raise MalformedInput(
            "key-kind-refused",
            f"this RSA key has {key.key_size} bits, and at most {_MOST_REQUESTED_BITS} are certified",
            hint="use ECDSA P-256 or P-384, Ed25519, or RSA with 2048 to 4096 bits",
        )
    return check_public_key(key)


def find_rsa_weakness(modulus: int, exponent: int) -> str:
    """Return why an RSA key must not be used, in words; empty if no weakness was found."""
    if modulus.bit_length() not in _RSA_BITS:
        return f"it has {modulus.bit_length()} bits"
    if exponent not in _EXPONENTS:
        return "its public exponent is out of range"
    if math.gcd(modulus, _SMALL_FACTORS) != 1:
        return "its modulus has a small factor"
    if all(modulus % prime in members for prime, members in _ROCA_SUBGROUPS.items()):
        return "it was made by a broken generator (ROCA, CVE-2017-15361)"
    if _has_close_factors(modulus):
        return "its prime factors are too close together"
    return ""


def _has_close_factors(modulus: int) -> bool:
    """Try a few rounds of Fermat's factorisation (CVE-2022-26320)."""
    root = math.isqrt(modulus)
    for middle in range(root, root + _FERMAT_ROUNDS):
        square = middle * middle - modulus
        if square >= 0 and math.isqrt(square) ** 2 == square:
            return True
    return False


def choose_hash(key: PrivateKey | PublicKey) -> hashes.SHA256 | hashes.SHA384:
    """Return the hash for signatures by an ECDSA or RSA key, as strong as the curve (RFC 5758)."""
    # Only the keys of curves have this attribute; asking for their classes would take five times as long.
    return hashes.SHA384() if isinstance(getattr(key, "curve", None), SECP384R1) else hashes.SHA256()


def choose_builder_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the hash for the library's builders, which require None for Ed25519."""
    return None if isinstance(key, Ed25519PrivateKey) else choose_hash(key)


def choose_lint_kind(issuer_key: PublicKey) -> KeyKind:
    """Return the kind of throw-away key that signs with the same algorithm as `issuer_key` (see pki.minting)."""
    match issuer_key:
        case Ed25519PublicKey():
            return KeyKind.ED25519
        case EllipticCurvePublicKey(curve=SECP384R1()):
            return KeyKind.P384
        case EllipticCurvePublicKey():
            return KeyKind.P256
        case _:
            return KeyKind.RSA2048


def encode_public_key(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo in DER. Two keys are the same if these bytes are equal."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def digest_public_key(key: PublicKey) -> str:
    """Return the SHA-256 of the SubjectPublicKeyInfo in DER, in lower-case hex."""
    return hashlib.sha256(encode_public_key(key)).hexdigest()


def digest_key_of(certificate: bytes) -> str:
    """Return `digest_public_key` of a certificate in DER; empty if its key cannot be read.

    A partner's authority may certify kinds of keys that are unknown here.
    """
    try:
        return digest_public_key(x509.load_der_x509_certificate(certificate).public_key())  # type: ignore[arg-type]  # any kind
    except Exception:  # noqa: BLE001 - total: the library raises several kinds
        return ""


def encode_key_bits(key: PublicKey) -> bytes:
    """Return the content of the subjectPublicKey BIT STRING, which OCSP hashes as the issuer's key."""
    match key:
        case Ed25519PublicKey():
            return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        case EllipticCurvePublicKey():
            form = serialization.PublicFormat.UncompressedPoint
            return key.public_bytes(serialization.Encoding.X962, form)
        case _:
            return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
