"""Which public keys are certified."""

from __future__ import annotations

import itertools
import math

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.pki import keys
from tests.support.certificates.issuing import cached_key
from tests.support.refusals import refused

SMALL = [n for n in range(2, 752) if all(n % d for d in range(2, n))]


def has_small_factor(number: int) -> bool:
    """Whether a prime below 752 divides it."""
    return any(number % prime == 0 for prime in SMALL)


def make_roca_modulus() -> int:
    """A 2048-bit number with the fingerprint of the broken generator: a power of 65537 modulo many primes."""
    product = math.prod(prime for prime in SMALL if 2 < prime < 168)
    modulus = pow(65537, 12345, product) + product * ((1 << 2047) // product + 1)
    while has_small_factor(modulus):
        modulus += product
    return modulus


def make_close_product() -> int:
    """The 2048-bit product of two neighbours without small factors: the check looks at nothing else."""
    candidates = (number for number in itertools.count((3 << 1022) + 1, 2) if not has_small_factor(number))
    return next(candidates) * next(candidates)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_the_kinds_that_doorward_makes_are_certified(kind):
    """Each kind gets its own word."""
    public = cached_key(kind).public_key()
    assert keys.check_public_key(public) == (public, kind.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.SECP224R1()),
        lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        ed448.Ed448PrivateKey.generate,
        x25519.X25519PrivateKey.generate,
        lambda: dsa.generate_private_key(2048),
    ],
)
def test_other_kinds_are_refused(make):
    """P-521, secp256k1, Ed448, DSA and keys that cannot sign are not certified."""
    with refused(MalformedInput, "key-kind-refused"):
        keys.check_public_key(make().public_key())


def test_a_short_rsa_key_is_weak():
    """RSA below 2048 bits is refused, and so is what the RSA checks find."""
    with refused(MalformedInput, "key-weak") as caught:
        keys.check_public_key(rsa.generate_private_key(65537, 1024).public_key())
    assert "1024 bits" in caught.value.detail


def test_rsa_sizes_have_both_ends():
    """2047 and 8193 bits are out; the exact bounds are in."""
    for bits, word in ((2047, "it has 2047 bits"), (8193, "it has 8193 bits")):
        assert keys.find_rsa_weakness(1 << (bits - 1) | 1, 65537) == word
    for bits in (2048, 8192):
        assert keys.find_rsa_weakness(1 << (bits - 1) | 1, 1) == "its public exponent is out of range"


def test_a_requested_rsa_key_has_at_most_4096_bits():
    """A stranger chooses it: one of 8192 bits is refused before anything is computed with it; an authority may have it."""
    for bits, code in ((4096, "key-weak"), (4097, "key-kind-refused"), (8192, "key-kind-refused")):
        key = rsa.RSAPublicNumbers(65537, 1 << (bits - 1) | 1).public_key()
        with refused(MalformedInput, code):
            keys.check_requested_key(key)
    for kind in (KeyKind.P256, KeyKind.RSA2048):
        assert keys.check_requested_key(cached_key(kind).public_key())[1] == kind.value


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 65535, 65536, 65538, (1 << 32) + 1])
def test_odd_exponents_from_65537_to_32_bits_only(exponent):
    """1 makes the signature the message, 3 invites forgeries, even ones never work, huge ones cost the verifier."""
    modulus = cached_key(KeyKind.RSA2048).public_key().public_numbers().n
    assert keys.find_rsa_weakness(modulus, exponent) == "its public exponent is out of range"
    assert keys.find_rsa_weakness(modulus, 65539) == ""


@pytest.mark.parametrize("factor", [2, 3, 751])
def test_a_modulus_with_a_small_factor_is_weak(factor):
    """Any factor below 752 shows without work."""
    modulus = factor * (1 << 2049 - factor.bit_length() | 1)
    assert keys.find_rsa_weakness(modulus, 65537) == "its modulus has a small factor"


def test_the_fingerprint_of_the_broken_generator_is_found():
    """Moduli in the subgroup of 65537 come from the ROCA generator."""
    assert "ROCA" in keys.find_rsa_weakness(make_roca_modulus(), 65537)


def test_close_factors_are_found():
    """Two factors next to each other fall to Fermat's method in a few rounds."""
    assert "too close" in keys.find_rsa_weakness(make_close_product(), 65537)


def test_signature_hashes_follow_the_curve():
    """P-384 signs with SHA-384, everything else with SHA-256; the library wants None for Ed25519."""
    for half in (cached_key(KeyKind.P384), cached_key(KeyKind.P384).public_key()):
        assert isinstance(keys.choose_hash(half), hashes.SHA384)
    for kind in (KeyKind.P256, KeyKind.RSA2048):
        assert isinstance(keys.choose_hash(cached_key(kind)), hashes.SHA256)
        assert isinstance(keys.choose_builder_hash(cached_key(kind)), hashes.SHA256)
    assert keys.choose_builder_hash(cached_key(KeyKind.ED25519)) is None


def test_the_lint_key_signs_like_the_issuer():
    """A throw-away key of the named kind gives the same signature algorithm."""
    for kind in (KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048):
        assert keys.choose_lint_kind(cached_key(kind).public_key()) is kind
    assert keys.choose_lint_kind(cached_key(KeyKind.RSA3072).public_key()) is KeyKind.RSA2048


@pytest.mark.parametrize("kind", list(KeyKind))
def test_key_bits_are_the_tail_of_the_public_key_info(kind):
    """OCSP hashes the content of the BIT STRING at the end of SubjectPublicKeyInfo."""
    public = cached_key(kind).public_key()
    info = keys.encode_public_key(public)
    assert info.endswith(b"\x00" + keys.encode_key_bits(public))
    assert serialization.load_der_public_key(info) == public


def test_ed25519_bits_are_the_raw_key():
    """An Ed25519 key hashes as its 32 octets."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert keys.encode_key_bits(key) == key.public_bytes_raw()
