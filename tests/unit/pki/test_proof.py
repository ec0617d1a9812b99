"""The proof of possession of a certificate's key."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.proof import ProofUse, build_proof_input, check_proof, sign_proof
from tests.support.certificates.issuing import CertifiedKey, cached_key, certify

NONCE = "bm9uY2U"
REQUEST = parse_csr(build_csr(cached_key(number=2), "sensor-1")).der


@cache
def holder(kind: KeyKind = KeyKind.P256, number: int = 1) -> CertifiedKey:
    """A certificate with a key of that kind."""
    return certify("sensor-1", ca=False, key=cached_key(kind, number=number))


def prove(who: CertifiedKey, use: ProofUse = ProofUse.RENEW, **changed: object) -> bytes:
    """The signature of a holder, with some values changed."""
    values = {"nonce": NONCE, "certificate": who.der, "message": REQUEST} | changed
    return sign_proof(who.key, use, **values)


def is_good(signature: bytes, who: CertifiedKey, use: ProofUse = ProofUse.RENEW, **changed: object) -> bool:
    """The verdict about a signature, with some values changed."""
    values = {"nonce": NONCE, "certificate": who.der, "message": REQUEST} | changed
    return check_proof(signature, use, **values)


def test_the_signed_bytes_are_lines_of_text():
    """Other clients build the same bytes: the use, the nonce and two digests in hex, each on a line."""
    built = build_proof_input(ProofUse.RENEW, nonce=NONCE, certificate=b"certificate", message=b"request")
    first, second = (hashlib.sha256(one).hexdigest() for one in (b"certificate", b"request"))
    assert built == f"doorward-renew-v1\n{NONCE}\n{first}\n{second}\n".encode()
    report = build_proof_input(ProofUse.REPORT, nonce=NONCE, certificate=b"certificate", message=b"request")
    assert report.startswith(b"doorward-report-v1\n")


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_proof_by_the_certificates_key_is_good(kind):
    """Every kind of key that is certified can prove."""
    who = holder(kind)
    assert is_good(prove(who), who)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_proof_covers_each_value(kind):
    """Another nonce, request or use makes the proof bad."""
    who = holder(kind)
    signature = prove(who)
    assert not is_good(signature, who, nonce="b3RoZXI")
    assert not is_good(signature, who, message=REQUEST + b"\0")
    assert not is_good(signature, who, ProofUse.REPORT)


def test_a_proof_covers_the_certificate():
    """A proof is good for one certificate only, even if a sibling has the same key."""
    who, sibling = holder(), certify("sensor-2", ca=False, key=holder().key)
    assert not is_good(prove(who), sibling)
    assert not is_good(prove(who), holder(number=3))


def test_keys_that_are_not_certified_prove_nothing():
    """A weak RSA key, or a curve that is not accepted, makes no good proof."""
    for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP521R1())):
        who = certify("sensor-1", ca=False, key=key)
        assert not is_good(prove(who), who)


def test_what_is_too_long_is_not_read():
    """A long certificate, nonce or signature is refused before any work."""
    who = holder()
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\0" * 20_000)
    long = certify("sensor-1", ca=False, key=who.key, extra=[(padding, False)])
    assert not is_good(prove(long), long)
    assert not is_good(prove(who, nonce="a" * 300), who, nonce="a" * 300)
    assert not is_good(b"\0" * 2000, who)


@given(st.binary(max_size=200), st.text(max_size=20), st.binary(max_size=300), st.sampled_from(ProofUse))
def test_any_input_gives_an_answer(signature, nonce, certificate, use):
    """Noise is no proof, and no exception leaves the check."""
    who = holder()
    assert not is_good(signature, who, use, nonce=nonce)
    assert not is_good(signature, who, use, certificate=certificate)


@given(st.integers(0, 63), st.integers(0, 7))
def test_a_damaged_signature_is_not_good(place, bit):
    """Each bit of an Ed25519 signature counts."""
    who = holder(KeyKind.ED25519)
    signature = bytearray(prove(who))
    signature[place] ^= 1 << bit
    assert not is_good(bytes(signature), who)
