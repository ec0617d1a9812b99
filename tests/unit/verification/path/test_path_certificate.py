"""Parsing of certificates for path validation."""

from __future__ import annotations

from functools import partial

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from doorward.core.errors import MalformedInput
from doorward.verification.path.certificate import (
    CERTIFICATE_LIMIT,
    POLICY_LIMIT,
    PathCertificate,
    parse_path_certificate,
)
from tests.support import refusals
from tests.support.certificates.der import children, oid_der, tlv
from tests.support.certificates.issuing import certify, crl_at, mapping_extension, name, policies, rebuild
from tests.support.ports import NOON

ROOT = certify("Root", permitted=[x509.DNSName("example.com")], path_length=3)
NULL = b"\x05\x00"

code_of = partial(refusals.code_of, parse_path_certificate, kind=MalformedInput)


def test_an_authority_is_read():
    """Key identifiers, constraints, policies and counts of an intermediate."""
    policy = {"valid": ["1.2.3", "1.2.4"], "mappings": [("1.2.3", "2.5.3"), ("1.2.3", "1.2.300000")]}
    policy |= {"explicit": 1, "inhibit_mapping": 2, "inhibit_any": 3}
    node = certify("Issuing", ROOT, policy=policy, path_length=0)
    read = node.parsed
    assert read.is_ca
    assert read.path_length == 0
    assert read.authority_key_id == ROOT.parsed.subject_key_id
    assert read.issuer == ROOT.parsed.subject
    assert not read.self_issued
    assert ROOT.parsed.self_issued
    assert read.policies == {"1.2.3", "1.2.4"}
    assert read.mappings == (("1.2.3", "2.5.3"), ("1.2.3", "1.2.300000"))
    assert (read.explicit_policy, read.inhibit_mapping, read.inhibit_any) == (1, 2, 3)
    assert read.key_usage.key_cert_sign
    assert read.purposes is None
    assert read.subtrees is None
    assert ROOT.parsed.subtrees.permitted.keys() == {"dns"}
    assert read.algorithms_agree
    assert read.not_before < NOON < read.not_after


def test_a_leaf_is_read():
    """An absent extension is None or empty, and does not change which extensions are critical."""
    points, _ = crl_at("http://c.example/")
    read = certify(
        "alice", ROOT, ca=False, extra=[(points, False)], names=[x509.DNSName("a.example.com")]
    ).parsed
    assert not read.is_ca
    assert read.purposes == {ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string}
    assert [one.form for one in read.names] == ["dns", "directory"]
    assert read.policies is None
    assert read.mappings == ()
    assert read.explicit_policy is read.inhibit_mapping is read.inhibit_any is None
    assert read.crl_points == tuple(points)
    assert ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string in read.present - read.critical


def test_policy_constraints_of_one_kind():
    """Each of the two counts may stand alone."""
    for explicit, mapping in ((0, None), (None, 0)):
        read = certify("x", ROOT, policy={"explicit": explicit, "inhibit_mapping": mapping}).parsed
        assert (read.explicit_policy, read.inhibit_mapping) == (explicit, mapping)


def test_a_bare_certificate_is_read():
    """A version 3 certificate without extensions is parsed."""
    node = rebuild(certify("x", ROOT), ROOT.key, lambda fields: fields[:-1])
    assert node.parsed.present == frozenset()
    assert node.parsed.subject_key_id is None


def test_certificates_are_equal_by_their_bytes():
    """Two parsed values of the same bytes are equal; they equal no value of another type."""
    again = parse_path_certificate(ROOT.der)
    assert again == ROOT.parsed
    assert hash(again) == hash(ROOT.parsed)
    assert ROOT.parsed != ROOT.certificate
    assert len({again, ROOT.parsed}) == 1


def test_size_is_limited():
    """64 KiB are read (here: refused as no certificate), one byte more is too large."""
    assert code_of(bytes(CERTIFICATE_LIMIT)) == "certificate-malformed"
    assert code_of(bytes(CERTIFICATE_LIMIT + 1)) == "certificate-too-large"


def test_bytes_that_are_no_certificate_are_malformed():
    """No bytes, a cut certificate, and a certificate with a byte too many are malformed."""
    for der in (b"", ROOT.der[:-1], ROOT.der + b"\0", ROOT.certificate.subject.public_bytes()):
        assert code_of(der) == "certificate-malformed"


MALFORMED = [
    (ExtensionOID.BASIC_CONSTRAINTS, tlv(0x30, b"\x01\x01\xff\x02\x01\xff")),  # a length below zero
    (ExtensionOID.KEY_USAGE, NULL),
    (ExtensionOID.EXTENDED_KEY_USAGE, tlv(0x30, NULL)),
    (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, tlv(0x30, b"\x87\x03abc")),  # an address of three octets
    (ExtensionOID.NAME_CONSTRAINTS, tlv(0x30, tlv(0xA0, tlv(0x30, b"\x87\x04abcd")))),  # no mask
    (
        ExtensionOID.NAME_CONSTRAINTS,  # a mask with a hole
        tlv(0x30, tlv(0xA0, tlv(0x30, tlv(0x87, bytes.fromhex("0a000000ff00ff00"))))),
    ),
    (ExtensionOID.CERTIFICATE_POLICIES, tlv(0x30, tlv(0x30, NULL))),
    (ExtensionOID.POLICY_MAPPINGS, NULL),
    (ExtensionOID.POLICY_MAPPINGS, tlv(0x30, tlv(0x30, oid_der("1.2.3")))),
    (ExtensionOID.POLICY_MAPPINGS, tlv(0x30) + b"\0"),
    (ExtensionOID.POLICY_CONSTRAINTS, tlv(0x30, b"\x80\x01\xff")),
    (ExtensionOID.INHIBIT_ANY_POLICY, b"\x02\x01\xff"),
    (ExtensionOID.SUBJECT_KEY_IDENTIFIER, NULL),
    (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, NULL),
    (ExtensionOID.CRL_DISTRIBUTION_POINTS, tlv(0x30, NULL)),
]


@pytest.mark.parametrize(
    ("oid", "value"), MALFORMED, ids=[f"{number}-{oid._name}" for number, (oid, _) in enumerate(MALFORMED)]
)
def test_an_extension_that_does_not_parse_makes_the_certificate_malformed(oid, value):
    """This holds for each extension that is parsed, critical or not: none is skipped."""
    node = certify("x", ROOT, raw=[(oid, value, False)])
    assert code_of(node.der) == "certificate-malformed"


def test_two_extensions_of_one_kind_are_malformed():
    """4.2: "MUST NOT include more than one instance of a particular extension"."""

    def double(fields):
        [extensions] = children(fields[7])
        return [*fields[:7], tlv(0xA3, tlv(0x30, *children(extensions), children(extensions)[0]))]

    assert code_of(rebuild(certify("x", ROOT), ROOT.key, double).der) == "certificate-malformed"


def test_a_repeated_policy_is_malformed():
    """4.2.1.4: "MUST NOT appear more than once"."""
    node = certify("x", ROOT, extra=[(policies("1.2.3", "1.2.3"), False)])
    assert code_of(node.der) == "certificate-malformed"


def test_policies_and_mappings_are_limited():
    """As many as the limit are read; one more is malformed."""
    many = [f"1.2.{number}" for number in range(POLICY_LIMIT + 1)]
    assert len(certify("x", ROOT, extra=[(policies(*many[:-1]), False)]).parsed.policies) == POLICY_LIMIT
    assert code_of(certify("x", ROOT, extra=[(policies(*many), False)]).der) == "certificate-malformed"
    pairs = [(policy, "1.3") for policy in many]
    node = certify("x", ROOT, extra=[(mapping_extension(pairs[:-1]), True)])
    assert len(node.parsed.mappings) == POLICY_LIMIT
    node = certify("x", ROOT, extra=[(mapping_extension(pairs), True)])
    assert code_of(node.der) == "certificate-malformed"


def test_mappings_of_any_length_are_read():
    """Short, one-octet and two-octet lengths of the extension."""
    for count in (1, 8, 40):
        pairs = [(f"1.2.{number}", "1.3.4") for number in range(count)]
        assert certify("x", ROOT, policy={"mappings": pairs}).parsed.mappings == tuple(pairs)


def test_an_unknown_extension_is_kept_by_its_identifier():
    """An unknown extension is parsed; whether its criticality matters is for the judge."""
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), NULL)
    read = certify("x", ROOT, extra=[(unknown, True)]).parsed
    assert isinstance(read, PathCertificate)
    assert "1.2.3.4" in read.critical
    assert read.subject == certify(name("X"), ROOT).parsed.subject
