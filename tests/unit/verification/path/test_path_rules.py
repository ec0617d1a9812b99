"""Each rule of a path: the one fault of a chain that is good without it.

The chain, unless a case says otherwise: Root (anchor) <- Issuing <- leaf.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from doorward.core.entities import Outcome
from doorward.verification.path.building import WorkBudget
from doorward.verification.path.conformance import PathInputs, check_authority
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.rules import CertificationPathFault, PathRule
from tests.support.certificates.der import children, oid_der, tlv
from tests.support.certificates.issuing import (
    ANY_POLICY,
    certify,
    crl_at,
    name,
    rebuild,
    responder_at,
    rsa_key,
    version_1,
    with_serial,
)
from tests.support.certificates.judging import judge, rules_of
from tests.support.ports import NOON

ROOT = certify("Root")
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
NO_REV_AVAIL = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.56"), b"\x05\x00")
CRL_URL = "http://pki.example/1"
FRESHEST = (x509.FreshestCRL(crl_at(CRL_URL)[0]), False)
DNS = x509.DNSName
LONG = b"\x01" + bytes(20)
ECDSA_SHA384 = tlv(0x30, oid_der("1.2.840.10045.4.3.3"))
PURPOSE = {"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}
AT_END = NOON + timedelta(days=90)

ISSUING_CASES = [
    (PathRule.KEY_WEAK, {"key": ec.generate_private_key(ec.SECP256K1())}),
    (PathRule.NOT_YET_VALID, {"not_before": NOON + timedelta(seconds=1)}),
    (PathRule.EXPIRED, {"not_after": NOON - timedelta(seconds=1)}),
    (PathRule.NOT_A_CA, {"ca": False, "usage": ("key_cert_sign",), "purposes": ()}),
    (PathRule.NOT_A_CA, {"drop": (x509.BasicConstraints,)}),
    (PathRule.CANNOT_SIGN_CERTIFICATES, {"usage": ("crl_sign", "digital_signature")}),
    (PathRule.CRITICAL_EXTENSION_UNKNOWN, {"extra": ((UNKNOWN, True),)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((x509.BasicConstraints(ca=True, path_length=None), False),)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((x509.SubjectKeyIdentifier(b"k"), True),)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((x509.InhibitAnyPolicy(3), False),)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((x509.PolicyConstraints(3, None), False),)}),
    (PathRule.KEY_IDENTIFIER_MISSING, {"drop": (x509.SubjectKeyIdentifier,)}),
    (PathRule.KEY_IDENTIFIER_MISSING, {"drop": (x509.AuthorityKeyIdentifier,)}),
    (PathRule.PURPOSE_WRONG, PURPOSE),
    (PathRule.NO_REV_AVAIL_MISUSED, {"extra": ((NO_REV_AVAIL, False),)}),
    (PathRule.NAME_NOT_PERMITTED, {"permitted": (DNS("other.example"),)}),
    (PathRule.NAME_NOT_PERMITTED, {"excluded": (DNS("corp.example"),)}),
    (PathRule.POLICY_NOT_ACCEPTABLE, {"policy": {"explicit": 0}}),
    (PathRule.POLICY_MAPPING_INVALID, {"policy": {"mappings": [("1.2.3", ANY_POLICY)]}}),
]
LEAF_CASES = [
    (PathRule.KEY_WEAK, {"key": ec.generate_private_key(ec.SECP192R1())}),
    (PathRule.KEY_WEAK, {"key": rsa_key(1024)}),
    (PathRule.NOT_YET_VALID, {"not_before": NOON + timedelta(seconds=1)}),
    (PathRule.EXPIRED, {"not_after": NOON - timedelta(seconds=1)}),
    (PathRule.SUBJECT_EMPTY, {"subject": ""}),
    (PathRule.ISSUER_EMPTY, {"issuer_name": name("")}),
    (PathRule.ISSUER_UNKNOWN, {"issuer_name": name("Nobody")}),
    (PathRule.SIGNATURE_INVALID, {"signer": ec.generate_private_key(ec.SECP256R1())}),
    (PathRule.SIGNATURE_INVALID, {"hash_algorithm": hashes.SHA224()}),
    (PathRule.CRITICAL_EXTENSION_UNKNOWN, {"extra": ((UNKNOWN, True),)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((x509.AuthorityKeyIdentifier(b"k", None, None), True),)}),
    (PathRule.KEY_IDENTIFIER_MISSING, {"drop": (x509.AuthorityKeyIdentifier,)}),
    (PathRule.PURPOSE_WRONG, PURPOSE),
    (PathRule.PURPOSE_WRONG, {"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}),
    (PathRule.PURPOSE_WRONG, {"purposes": ()}),
    (PathRule.NOT_A_CA, {"usage": ("digital_signature", "key_cert_sign")}),
    (PathRule.NOT_A_CA, {"permitted": (DNS("corp.example"),)}),
    (PathRule.NO_REV_AVAIL_MISUSED, {"extra": ((NO_REV_AVAIL, False), crl_at(CRL_URL))}),
    (PathRule.NO_REV_AVAIL_MISUSED, {"extra": ((NO_REV_AVAIL, False), responder_at(CRL_URL))}),
    (PathRule.NO_REV_AVAIL_MISUSED, {"extra": ((NO_REV_AVAIL, False), FRESHEST)}),
    (PathRule.CRITICALITY_WRONG, {"extra": ((NO_REV_AVAIL, True),)}),
]


def words(cases):
    """What to call the cases in the test's report."""
    return [f"{rule.value}-{number}" for number, (rule, _) in enumerate(cases)]


def chain(issuing=None, leaf=None):
    """The chain of this module with its certificates as asked."""
    middle = certify("Issuing", ROOT, **(issuing or {}))
    options = {"subject": "alice", "ca": False, "names": (DNS("a.corp.example"),), **(leaf or {})}
    return certify(issuer=middle, **options), middle


def test_the_chain_without_a_fault_is_good():
    """Root <- Issuing <- alice is good, and the path is leaf first."""
    leaf, middle = chain()
    judgement = judge(leaf, middle, anchors=[ROOT])
    assert judgement.outcome is Outcome.GOOD
    assert judgement.path == (leaf.parsed, middle.parsed, ROOT.parsed)
    assert judgement.judged_at == NOON


@pytest.mark.parametrize(("rule", "fault"), ISSUING_CASES, ids=words(ISSUING_CASES))
def test_a_fault_of_the_authority_is_the_only_one(rule, fault):
    """Root <- Issuing (at fault) <- alice."""
    leaf, middle = chain(issuing=fault)
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == [rule.value]


@pytest.mark.parametrize(("rule", "fault"), LEAF_CASES, ids=words(LEAF_CASES))
def test_a_fault_of_the_leaf_is_the_only_one(rule, fault):
    """Root <- Issuing <- alice (at fault)."""
    leaf, middle = chain(leaf=fault)
    judgement = judge(leaf, middle, anchors=[ROOT])
    assert rules_of(judgement) == [rule.value]
    assert judgement.faults[0].certificate == leaf.parsed.sha256


def test_an_authority_without_a_subject_is_refused():
    """Root <- (no name) <- alice: alice names no issuer; the authority by itself breaks the rule too."""
    nameless = certify("", ROOT)
    leaf = certify("alice", nameless, ca=False)
    assert rules_of(judge(leaf, nameless, anchors=[ROOT])) == ["issuer-empty"]
    alone = check_authority(nameless.parsed, PathInputs(), anchor=False)
    assert [fault.rule for fault in alone] == [PathRule.SUBJECT_EMPTY]
    assert rules_of(judge(nameless, anchors=[ROOT], purpose=None)) == ["subject-empty"]


def test_version_1_signs_nothing_and_is_no_leaf():
    """Root <- Issuing <- alice, the one or the other in version 1 (so without extensions)."""
    leaf, middle = chain()
    old = version_1(middle, ROOT.key)
    assert rules_of(judge(leaf, old, anchors=[ROOT], enforce_profile=False)) == ["version-not-3", "not-a-ca"]
    old_leaf = version_1(leaf, middle.key)
    options = {"anchors": [ROOT], "purpose": None}
    assert rules_of(judge(old_leaf, middle, **options)) == ["key-identifier-missing", "version-not-3"]
    assert rules_of(judge(old_leaf, middle, enforce_profile=False, **options)) == []


def test_the_two_algorithm_fields_agree():
    """Root <- Issuing <- alice, with another hash in the outer algorithm than in the signed one."""
    leaf, middle = chain()
    same = rebuild(leaf, middle.key, list)
    assert rules_of(judge(same, middle, anchors=[ROOT])) == []
    other = rebuild(leaf, middle.key, list, outer=ECDSA_SHA384)
    assert rules_of(judge(other, middle, anchors=[ROOT])) == ["algorithm-fields-differ"]


@pytest.mark.parametrize(
    ("serial", "rules"),
    [
        (b"\x7f" + bytes(19), []),
        (b"\x00\x80" + bytes(19), ["serial-too-long"]),
        (LONG, ["serial-too-long"]),
        (b"\x00", []),
        (b"\xff", []),
    ],
)
def test_serial_numbers_have_twenty_octets_at_most(serial, rules):
    """Root <- Issuing <- alice with 20 or 21 octets; zero and negative ones are accepted (4.1.2.2)."""
    leaf, middle = chain()
    odd = with_serial(leaf, middle.key, serial)
    assert rules_of(judge(odd, middle, anchors=[ROOT])) == rules
    assert rules_of(judge(odd, middle, anchors=[ROOT], enforce_profile=False)) == []


def test_a_path_length_of_zero_permits_a_leaf_and_no_authority():
    """Root <- A (length 0) <- leaf is good; Root <- A (length 0) <- B <- leaf is not."""
    first = certify("A", ROOT, path_length=0)
    second = certify("B", first)
    assert rules_of(judge(certify("x", first, ca=False), first, anchors=[ROOT])) == []
    # a CA at the end of the path is a leaf and counts no more than another (6.1.4 is not done for it)
    assert rules_of(judge(certify("x", first), first, anchors=[ROOT], purpose=None)) == []
    judgement = judge(certify("x", second, ca=False), first, second, anchors=[ROOT])
    assert rules_of(judgement) == ["path-too-long"]
    assert judgement.faults[0].certificate == first.parsed.sha256


def test_work_that_exceeds_is_a_fault():
    """Root <- Issuing <- alice, with no work allowed."""
    leaf, middle = chain()
    judgement = judge(leaf, middle, anchors=[ROOT], work=WorkBudget(candidates=0))
    assert rules_of(judgement) == ["work-exceeded"]
    assert judgement.faults[0].detail == "candidates"


@pytest.mark.parametrize(
    ("now", "rules"),
    [
        (NOON - timedelta(days=1), []),
        (NOON - timedelta(days=1, microseconds=1), ["not-yet-valid"]),
        (AT_END, []),
        (AT_END + timedelta(microseconds=999_999), []),
        (AT_END + timedelta(seconds=1), ["expired"]),
    ],
)
def test_dates_count_to_the_second_both_ends_included(now, rules):
    """Root <- Issuing <- alice, judged at the ends of its validity."""
    leaf, middle = chain()
    root = certify("Root", key=ROOT.key, not_before=NOON - timedelta(9), not_after=NOON + timedelta(999))
    middle = certify(
        "Issuing", root, key=middle.key, not_before=NOON - timedelta(9), not_after=NOON + timedelta(999)
    )
    assert rules_of(judge(leaf, middle, anchors=[root], now=now)) == rules


def test_a_leaf_without_a_subject_is_named_by_its_critical_alternative_name():
    """4.1.2.6: Root <- Issuing <- (no subject, critical subjectAltName)."""
    leaf, middle = chain(leaf={"subject": "", "names_critical": True})
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == []


def test_the_anchor_is_judged_too():
    """An anchor that expired, may not sign or has no key identifier ends no path."""
    for fault, rule in [
        ({"not_after": NOON - timedelta(seconds=1)}, "expired"),
        ({"usage": ("crl_sign",)}, "cannot-sign-certificates"),
        ({"drop": (x509.SubjectKeyIdentifier,)}, "key-identifier-missing"),
        ({"extra": ((UNKNOWN, True),)}, "critical-extension-unknown"),
        ({"permitted": (DNS("other.example"),)}, "name-not-permitted"),
        ({"path_length": 0}, "path-too-long"),
    ]:
        anchor = certify("Root", key=ROOT.key, **fault)
        leaf, middle = chain()
        assert rules_of(judge(leaf, middle, anchors=[anchor])) == [rule]


def test_an_anchor_need_not_name_who_signed_it():
    """Elsewhere <- Root (anchor, no authorityKeyIdentifier) <- alice: the path ends below Elsewhere."""
    anchor = certify("Root", certify("Elsewhere"), drop=(x509.AuthorityKeyIdentifier,))
    assert rules_of(judge(certify("alice", anchor, ca=False), anchors=[anchor])) == []


def test_the_leaf_must_name_the_purpose():
    """Root <- Issuing <- alice with anyExtendedKeyUsage, none, or another one; no purpose asked for is none."""
    for purposes in ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), (), (ExtendedKeyUsageOID.SERVER_AUTH,)):
        leaf, middle = chain(leaf={"purposes": purposes})
        assert rules_of(judge(leaf, middle, anchors=[ROOT])) == ["purpose-wrong"]
    leaf, middle = chain(leaf=PURPOSE, issuing=PURPOSE)
    assert rules_of(judge(leaf, middle, anchors=[ROOT], purpose=None)) == []


def test_an_authority_for_any_purpose_may_stand_above_a_client():
    """Root <- Issuing (anyExtendedKeyUsage) <- alice."""
    leaf, middle = chain(issuing={"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)})
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == []


def test_an_authority_without_key_usage_may_sign():
    """6.1.4 (n) applies only if the extension is present."""
    leaf, middle = chain(issuing={"drop": (x509.KeyUsage,)}, leaf={"drop": (x509.KeyUsage,)})
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == []


def test_without_the_profile_requirements_for_issuers_are_not_enforced():
    """Root <- Issuing <- alice, with certificates that break rules of section 4 and none of section 6."""
    leaf, middle = chain(
        issuing={"drop": (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)},
        leaf={"subject": "", "usage": ("digital_signature", "key_cert_sign")},
    )
    assert rules_of(judge(leaf, middle, anchors=[ROOT], enforce_profile=False)) == []


def test_every_rule_has_a_section_and_a_fault_says_all():
    """A fault names rule, section, certificate and what was found."""
    assert all(rule.section for rule in PathRule)
    fault = CertificationPathFault(rule=PathRule.EXPIRED, certificate="ab" * 32)
    assert str(fault) == "expired (RFC 5280 section 6.1.3 (a)(2)) at certificate abababababababab"
    fault = CertificationPathFault(rule=PathRule.EXPIRED, certificate="ab" * 32, detail="since then")
    assert str(fault).endswith(": since then")


def test_the_cases_name_every_rule():
    """No rule is without a test here: a new one fails this."""
    elsewhere = {
        PathRule.VERSION_NOT_3,
        PathRule.ALGORITHM_FIELDS_DIFFER,
        PathRule.SERIAL_TOO_LONG,
        PathRule.PATH_TOO_LONG,
        PathRule.WORK_EXCEEDED,
    }
    assert {rule for rule, _ in ISSUING_CASES + LEAF_CASES} | elsewhere == set(PathRule)


def test_uncritical_constraints_are_enforced():
    """Root <- Issuing (nameConstraints, not critical) <- alice: 4.2.1.10 requires critical, and we enforce them anyway."""
    constraints = x509.NameConstraints([DNS("other.example")], None)
    leaf, middle = chain(issuing={"extra": ((constraints, False),)})
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == ["name-not-permitted"]


def test_a_required_policy_that_is_there_is_good():
    """Root <- Issuing (policy 1.2.3) <- alice (policy 1.2.3), explicit policy asked for."""
    policy = {"policy": {"valid": ["1.2.3"]}}
    asked = {"policies": PolicyInputs(explicit=True, acceptable=frozenset({"1.2.3"}))}
    leaf, middle = chain(issuing=policy, leaf=policy)
    assert rules_of(judge(leaf, middle, anchors=[ROOT], **asked)) == []
    leaf, middle = chain(issuing=policy)
    assert rules_of(judge(leaf, middle, anchors=[ROOT], **asked)) == ["policy-not-acceptable"]


def test_explicit_curve_parameters_are_refused():
    """Root <- Issuing <- alice, with P-256 as parameters instead of a named curve."""
    leaf, middle = chain()
    explicit = rebuild(leaf, middle.key, lambda fields: [*fields[:6], explicit_p256(fields[6]), fields[7]])
    judgement = judge(explicit, middle, anchors=[ROOT])
    assert rules_of(judgement) == ["key-weak"]


def explicit_p256(key_info: bytes) -> bytes:
    """A P-256 subjectPublicKeyInfo with the curve's parameters in place of its name."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
    x = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    y = bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    order = bytes.fromhex("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    field = tlv(0x30, oid_der("1.2.840.10045.1.1"), tlv(0x02, b"\0" + prime.to_bytes(32)))
    curve = tlv(0x30, tlv(0x04, (prime - 3).to_bytes(32)), tlv(0x04, b))
    base = tlv(0x04, b"\x04" + x + y)
    parameters = tlv(0x30, tlv(0x02, b"\x01"), field, curve, base, tlv(0x02, order), tlv(0x02, b"\x01"))
    algorithm = tlv(0x30, oid_der("1.2.840.10045.2.1"), parameters)
    return tlv(0x30, algorithm, children(key_info)[1])


def test_a_key_of_an_unknown_kind_is_refused():
    """Root <- Issuing <- alice with a key of an unknown algorithm."""
    leaf, middle = chain()

    def edit(fields):
        key = children(fields[6])[1]
        return [*fields[:6], tlv(0x30, tlv(0x30, oid_der("1.2.3.4")), key), fields[7]]

    judgement = judge(rebuild(leaf, middle.key, edit), middle, anchors=[ROOT])
    assert rules_of(judgement) == ["key-weak"]
    assert judgement.faults[0].detail == "its kind of key is unknown"


def test_critical_extensions_that_are_processed_may_be_critical():
    """A critical CRL distribution point is processed by the judgement of revocation."""
    points, _ = crl_at("http://c.example/")
    leaf, middle = chain(leaf={"extra": [(points, True)]})
    assert rules_of(judge(leaf, middle, anchors=[ROOT])) == []
    assert ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string in leaf.parsed.critical
