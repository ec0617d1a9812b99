"""Certificates of ours, described."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.pki.facts import describe_certificate, has_revocation_information
from doorward.pki.profiles import NO_REV_AVAIL
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON


def test_facts_are_what_the_certificate_says():
    """Digest, serial, names, dates and key kind come from the certificate."""
    ca = toy_ca("Facts Root")
    leaf = ca.leaf("alice", key_kind=KeyKind.P384, serial=77, emails=("a@corp.example",))
    facts = describe_certificate(leaf.certificate)
    assert (facts.sha256, facts.der, facts.serial) == (leaf.sha256, leaf.der, 77)
    assert (facts.issuer, facts.subject) == ("CN=Facts Root", "CN=alice")
    assert facts.san == ("URI:spiffe://corp.example/person/alice", "email:a@corp.example")
    assert facts.not_before < NOON < facts.not_after
    assert facts.key_kind == "p384"


def test_a_ca_has_no_alternative_names():
    """A certificate without SAN has none."""
    assert describe_certificate(toy_ca().certificate).san == ()


def test_the_checked_kind_of_key_is_taken_over():
    """Who has checked the key says its kind; who has not gets it checked."""
    odd = toy_ca().leaf(key=ec.generate_private_key(ec.SECP521R1())).certificate
    assert describe_certificate(odd, "p256").key_kind == "p256"
    with pytest.raises(MalformedInput):
        describe_certificate(odd)


def test_only_no_rev_avail_says_that_there_is_no_revocation_information():
    """Bytes that are no certificate, such as those of an intended one, count as if there were some."""
    ca = toy_ca()
    short = ca.leaf("alice", extra=[(x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"), False)])
    assert not has_revocation_information(short.der)
    assert has_revocation_information(ca.leaf("alice").der)
    assert has_revocation_information(b"\x30\x00")
