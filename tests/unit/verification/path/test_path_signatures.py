"""Which signatures are accepted: by kind of key, by hash, and only if the algorithm field is correct."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa, x25519

from doorward.verification.path.signatures import (
    Strength,
    count_verification_cost,
    is_signature_valid,
    is_strong_hash,
    is_strong_key,
)
from tests.support.certificates.der import children, oid_der, tlv
from tests.support.certificates.issuing import CertifiedKey, certify, rebuild, rsa_key
from tests.support.certificates.judging import judge, rules_of

STRICT = Strength()
BROKEN = Strength(accept_broken_algorithms=True)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        (EC_KEY, {}),
        (EC_KEY, {"hash_algorithm": hashes.SHA3_256()}),
        (ec.generate_private_key(ec.SECP384R1()), {"hash_algorithm": hashes.SHA384()}),
        (ec.generate_private_key(ec.SECP521R1()), {"hash_algorithm": hashes.SHA512()}),
        (rsa_key(), {}),
        (rsa_key(), {"pss": PSS}),
        (ed25519.Ed25519PrivateKey.generate(), {}),
        (mldsa.MLDSA44PrivateKey.generate(), {}),
        (mldsa.MLDSA65PrivateKey.generate(), {}),
        (mldsa.MLDSA87PrivateKey.generate(), {}),
    ],
)
def test_an_authority_of_each_kind_signs(key, options):
    """Root (key of the kind) <- Issuing (the same kind) <- alice is good; it is refused if another key signed."""
    root = certify("Root", key=key, **options)
    issuing = certify("Issuing", root, key=key, **options)
    leaf = certify("alice", issuing, ca=False, key=EC_KEY, **options)
    assert rules_of(judge(leaf, issuing, anchors=[root])) == []
    stranger = certify("alice", issuing, ca=False, signer=ec.generate_private_key(ec.SECP256R1()))
    assert rules_of(judge(stranger, issuing, anchors=[root])) == ["signature-invalid"]


def test_ed448_signs():
    """Ed448: the certificate builder of the library does not sign with it, so this test signs the bytes."""
    key = ed448.Ed448PrivateKey.generate()
    root = certify("Root", key=EC_KEY)
    algorithm = tlv(0x30, oid_der("1.3.101.113"))

    def edit(fields):
        return [*fields[:2], algorithm, *fields[3:]]

    leaf = rebuild(certify("alice", root), None, edit, outer=algorithm, sign=key.sign)
    assert is_signature_valid(key.public_key(), leaf.certificate, STRICT)
    assert not is_signature_valid(EC_KEY.public_key(), leaf.certificate, STRICT)


@pytest.mark.parametrize(("algorithm", "hash_algorithm"), [("1.2.840.113549.1.1.5", hashes.SHA1())])
def test_sha1_is_refused(algorithm, hash_algorithm):
    """Root <- alice, signed with SHA-1 by the right key; accepted only for old test suites."""
    root = certify("Root", key=rsa_key())
    named = tlv(0x30, oid_der(algorithm), b"\x05\x00")

    def sign(content):
        return rsa_key().sign(content, padding.PKCS1v15(), hash_algorithm)

    def edit(fields):
        return [*fields[:2], named, *fields[3:]]

    leaf = rebuild(certify("alice", root, ca=False), None, edit, outer=named, sign=sign)
    assert rules_of(judge(leaf, anchors=[root])) == ["signature-invalid"]
    assert rules_of(judge(leaf, anchors=[root], strength=BROKEN)) == []


def relabelled(algorithm, sign):
    """A certificate with `algorithm` in both algorithm fields, signed by `sign`."""
    named = tlv(0x30, *algorithm)
    node = certify("alice", certify("Root", key=EC_KEY), ca=False)
    edited = rebuild(node, None, lambda f: [*f[:2], named, *f[3:]], outer=named, sign=sign)
    return edited.certificate


def test_an_algorithm_of_another_kind_than_the_key_is_refused():
    """A correct RSA signature labelled as ECDSA, and an Ed25519 signature labelled as Ed448, are refused."""

    def sign(content):
        return rsa_key().sign(content, padding.PKCS1v15(), hashes.SHA256())

    public = rsa_key().public_key()
    null = b"\x05\x00"
    assert is_signature_valid(public, relabelled([oid_der("1.2.840.113549.1.1.11"), null], sign), STRICT)
    assert not is_signature_valid(public, relabelled([oid_der("1.2.840.10045.4.3.2")], sign), STRICT)
    key = ed25519.Ed25519PrivateKey.generate()
    assert is_signature_valid(key.public_key(), relabelled([oid_der("1.3.101.112")], key.sign), STRICT)
    assert not is_signature_valid(key.public_key(), relabelled([oid_der("1.3.101.113")], key.sign), STRICT)


def test_an_algorithm_that_is_not_listed_is_refused():
    """Unsigned (RFC 9925) and unknown algorithms verify under no key."""
    for dotted in ("1.3.6.1.5.5.7.6.36", "1.2.3.4"):
        certificate = relabelled([oid_der(dotted)], lambda content: b"")
        for key in (EC_KEY.public_key(), rsa_key().public_key(), None):
            assert not is_signature_valid(key, certificate, BROKEN)


def test_dsa_is_for_old_suites():
    """A DSA signature is valid only if broken algorithms are accepted."""
    key = dsa.generate_private_key(1024)
    signed = relabelled(
        [oid_der("2.16.840.1.101.3.4.3.2")], lambda content: key.sign(content, hashes.SHA256())
    )
    assert is_signature_valid(key.public_key(), signed, BROKEN)
    assert not is_signature_valid(key.public_key(), signed, STRICT)


def test_pss_without_parameters_is_refused():
    """RSASSA-PSS must say its hash and salt (RFC 4055 section 3.1)."""
    certificate = relabelled([oid_der("1.2.840.113549.1.1.10")], lambda content: b"x")
    assert not is_signature_valid(rsa_key().public_key(), certificate, STRICT)


@pytest.mark.parametrize(
    ("key", "strong", "strong_when_broken"),
    [
        (ec.generate_private_key(ec.SECP256R1()), True, True),
        (ec.generate_private_key(ec.SECP224R1()), False, False),
        (ec.generate_private_key(ec.BrainpoolP256R1()), False, False),
        (rsa_key(2048), True, True),
        (rsa_key(1024), False, True),
        (ed25519.Ed25519PrivateKey.generate(), True, True),
        (x25519.X25519PrivateKey.generate(), False, False),
    ],
)
def test_strength_of_keys(key, strong, strong_when_broken):
    """Curves of NIST, RSA from 2048 bits, Ed25519; short RSA for old suites only."""
    assert is_strong_key(key.public_key(), STRICT) is strong
    assert is_strong_key(key.public_key(), BROKEN) is strong_when_broken


def test_the_rsa_minimum_can_be_raised():
    """A stricter minimum refuses 2048 bits; a missing key is not strong."""
    assert not is_strong_key(rsa_key().public_key(), Strength(rsa_bits=3072))
    assert not is_strong_key(None, BROKEN)


def test_strength_of_hashes():
    """SHA-2 from 256 bits and SHA-3; SHA-1, SHA-224 and MD5 for old suites only."""
    for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512(), hashes.SHA3_384()):
        assert is_strong_hash(algorithm, STRICT)
    for algorithm in (hashes.SHA1(), hashes.SHA224(), hashes.MD5()):
        assert not is_strong_hash(algorithm, STRICT)
        assert is_strong_hash(algorithm, BROKEN)
    assert not is_strong_hash(hashes.SM3(), BROKEN)


def test_an_edited_certificate_is_signed_again():
    """A rebuilt certificate without changes has the same content and a valid signature."""
    root = certify("Root", key=EC_KEY)
    same = rebuild(root, EC_KEY, list)
    assert hashlib.sha256(children(same.der)[0]).digest() == hashlib.sha256(children(root.der)[0]).digest()
    assert is_signature_valid(EC_KEY.public_key(), same.certificate, STRICT)


@pytest.mark.parametrize("unused", [1, 2, 3])
def test_a_signature_with_unused_bits_is_invalid(unused):
    """Root <- alice, equal except for the count of unused bits: a certificate has one encoding only."""
    root = certify("Root", key=EC_KEY)
    leaf = certify("alice", root, ca=False)
    while leaf.der[-1] % 8:  # the library wants the unused bits to be zero
        leaf = certify("alice", root, ca=False)
    signed, algorithm, signature = children(leaf.der)
    content = signature[3:]

    def spell(count):
        der = tlv(0x30, signed, algorithm, tlv(0x03, bytes((count,)), content))
        return CertifiedKey(x509.load_der_x509_certificate(der), leaf.key)

    assert rules_of(judge(spell(0), anchors=[root])) == []
    assert rules_of(judge(spell(unused), anchors=[root])) == ["signature-invalid"]


@pytest.mark.parametrize(
    ("key", "cost"),
    [
        (ec.generate_private_key(ec.SECP256R1()), 1),
        (ec.generate_private_key(ec.SECP384R1()), 6),
        (ed25519.Ed25519PrivateKey.generate(), 1),
        (ed448.Ed448PrivateKey.generate(), 4),
    ],
)
def test_the_cost_of_a_verification(key, cost):
    """The unit is one verification with P-256."""
    assert count_verification_cost(key.public_key()) == cost


@pytest.mark.parametrize(
    ("bits", "exponent", "cost"),
    [
        (2048, 65537, 1),
        (4096, 65537, 1),
        (16384, 65537, 8),
        (16384, (1 << 63) + 1, 32),
        (3072, (1 << 3070) + 1, 53),
    ],
)
def test_a_large_exponent_costs_much(bits, exponent, cost):
    """A certificate chooses size and exponent of its key: the work limit counts costs, not the number of signatures."""
    numbers = rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1)
    assert count_verification_cost(numbers.public_key()) == cost
