"""Presented certificates, read without trust."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.verification.parsing import (
    CERTIFICATE_LIMIT,
    name_key_kind,
    parse_certificate,
    parse_partner_leaf,
)
from tests.support.certificates.issuing import CLIENT, cached_key, toy_ca, version_1
from tests.support.ports import NOON

_DER = serialization.Encoding.DER
CA = toy_ca("Parse Root")


def code_of(der: bytes) -> str:
    """The code that a certificate is refused with, whether it claims to be ours or a partner's."""
    with pytest.raises(MalformedInput) as caught:
        parse_certificate(der)
    with pytest.raises(MalformedInput) as of_partner:
        parse_partner_leaf(der)
    assert caught.value.code == of_partner.value.code
    return caught.value.code


def test_facts_and_what_the_checker_needs():
    """Digest, names, dates, key kind, issuer in DER, URIs and purposes."""
    leaf = CA.leaf("alice", serial=5, emails=("a@corp.example",))
    parsed = parse_certificate(leaf.der)
    assert (parsed.facts.sha256, parsed.facts.serial, parsed.facts.der) == (leaf.sha256, 5, leaf.der)
    assert (parsed.facts.issuer, parsed.facts.subject) == ("CN=Parse Root", "CN=alice")
    assert parsed.facts.san == ("URI:spiffe://corp.example/person/alice", "email:a@corp.example")
    assert parsed.uris == ("spiffe://corp.example/person/alice",)
    assert parsed.issuer_der == CA.certificate.subject.public_bytes()
    assert parsed.purposes == {CLIENT.dotted_string}
    assert parsed.signs
    assert not parsed.is_ca
    assert parsed.facts.not_before < NOON < parsed.facts.not_after


def test_both_readings_of_a_leaf_agree():
    """A partner's leaf is parsed to the same facts as one of ours."""
    for der in (CA.leaf("alice", dns=("a.example",), emails=("a@corp.example",)).der, CA.der):
        parsed, leaf = parse_certificate(der), parse_partner_leaf(der)
        assert leaf.facts == parsed.facts
        of_path = (leaf.path.purposes, leaf.path.signs, leaf.path.is_ca)
        assert of_path == (parsed.purposes, parsed.signs, parsed.is_ca)


def test_what_is_absent_is_told_apart():
    """No extendedKeyUsage is None, no SAN is empty, a CA is a CA."""
    parsed = parse_certificate(CA.der)
    assert parsed.purposes is None
    assert parsed.uris == ()
    assert parsed.is_ca
    assert not parsed.signs


@pytest.mark.parametrize(
    ("key", "word"),
    [(cached_key(kind), kind.value) for kind in KeyKind]
    + [(ec.generate_private_key(ec.SECP521R1()), "other"), (dsa.generate_private_key(1024), "other")],
)
def test_keys_are_named_not_judged(key, word):
    """Any kind of key has a word; the inventory decides about the certificate."""
    assert name_key_kind(key.public_key()) == word


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"-----BEGIN CERTIFICATE-----", bytes(100)])
def test_other_bytes_are_malformed(der):
    """Anything that is not a certificate is refused with one code."""
    assert code_of(der) == "certificate-malformed"


def test_bytes_after_the_certificate_are_malformed():
    """One certificate has one encoding: a tail would change the digest and nothing else."""
    assert code_of(CA.leaf().der + b"\x00") == "certificate-malformed"


def test_the_size_is_limited():
    """16 KiB are parsed, one byte more is refused."""
    assert code_of(bytes(CERTIFICATE_LIMIT)) == "certificate-malformed"
    assert code_of(bytes(CERTIFICATE_LIMIT + 1)) == "certificate-too-large"


def test_version_1_is_malformed():
    """A certificate without extensions says nothing that could be checked."""
    assert code_of(version_1(CA, CA.key).der) == "certificate-malformed"


def test_a_key_that_cannot_be_read_is_malformed():
    """Nobody could prove that it has such a key."""
    curve = bytes.fromhex("06082a8648ce3d0301")
    der = CA.leaf("alice", key=cached_key(KeyKind.P256)).der
    assert der.count(curve + b"\x07") == 1
    assert code_of(der.replace(curve + b"\x07", curve + b"\x30")) == "certificate-malformed"


def test_a_second_extension_of_a_kind_is_malformed():
    """Two subjectAltNames could identify two people: RFC 5280 section 4.2 forbids them."""
    der = CA.leaf("alice", dns=("a.example",)).der
    # The keyUsage identifier (2.5.29.15) becomes a second subjectAltName (2.5.29.17).
    twice = der.replace(bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d11"))
    assert twice != der
    assert code_of(twice) == "certificate-malformed"
