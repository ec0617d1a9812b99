"""Paths through stores with several ways, some of them closed."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.core.entities import Outcome
from doorward.verification.path.building import DEPTH_LIMIT, FAULT_LIMIT, WorkBudget
from doorward.verification.path.constraints import ComparisonBudget
from doorward.verification.path.rules import PathRule
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import judge, rules_of
from tests.support.ports import NOON

PAST = NOON - timedelta(seconds=1)
FIRST = certify("First Root")
SECOND = certify("Second Root")
ISSUING = certify("Issuing", FIRST)
LEAF = certify("alice", ISSUING, ca=False)


def crossed(node, issuer, **options):
    """The same name and key as `node`, signed by another authority."""
    return certify(node.certificate.subject, issuer, key=node.key, **options)


def subjects(judgement):
    """The common names of the path found, leaf first."""
    return [one.subject[0][0][1] for one in judgement.path]


def test_a_judgement_has_no_truth_value():
    """Code that forgets `.outcome` raises an error."""
    with pytest.raises(TypeError):
        bool(judge(LEAF, ISSUING, anchors=[FIRST]))


def test_a_leaf_signed_by_the_anchor_needs_nothing_else():
    """First Root <- bob."""
    assert subjects(judge(certify("bob", FIRST, ca=False), anchors=[FIRST])) == ["bob", "first root"]


def test_an_anchor_is_no_path_by_itself():
    """First Root, presented as a leaf: a path has two certificates at least."""
    assert rules_of(judge(FIRST, anchors=[FIRST], purpose=None)) == ["issuer-unknown"]


def test_an_intermediate_may_be_an_anchor():
    """Issuing (anchor) <- alice: its issuer need not be known."""
    assert subjects(judge(LEAF, anchors=[ISSUING])) == ["alice", "issuing"]


def test_an_unknown_root_among_the_intermediates_is_no_anchor():
    """First Root (not trusted) <- Issuing <- alice."""
    judgement = judge(LEAF, ISSUING, FIRST, anchors=[SECOND])
    assert rules_of(judgement) == ["issuer-unknown"]
    assert judgement.faults[0].certificate == FIRST.parsed.sha256


def test_of_two_anchors_either_is_enough():
    """Issuing, signed by First Root and by Second Root; whichever is trusted ends the path."""
    other = crossed(ISSUING, SECOND)
    for anchors, last in (([FIRST], "first root"), ([SECOND], "second root")):
        assert subjects(judge(LEAF, ISSUING, other, anchors=anchors))[-1] == last
    assert judge(LEAF, ISSUING, other, anchors=[FIRST, SECOND]).outcome is Outcome.GOOD


ALTERNATIVES = {
    "expired": {"not_after": PAST},
    "not yet valid": {"not_before": NOON + timedelta(days=1)},
    "not a CA": {"ca": False, "purposes": ()},
    "name-constrained": {"permitted": [x509.DirectoryName(x509.Name.from_rfc4514_string("CN=bob"))]},
    "for servers": {"purposes": [x509.ExtendedKeyUsageOID.SERVER_AUTH]},
    "of an explicit policy": {"policy": {"explicit": 0}},
    "with a critical extension": {
        "extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]
    },
}


@pytest.mark.parametrize("options", ALTERNATIVES.values(), ids=ALTERNATIVES.keys())
def test_a_bad_alternative_does_not_hide_a_good_path(options):
    """First Root <- Issuing <- alice, and Second Root <- Issuing (bad) <- alice, which is tried first."""
    later = {"not_after": NOON + timedelta(days=900)} | options
    bad = crossed(ISSUING, SECOND, **later)
    assert subjects(judge(LEAF, bad, ISSUING, anchors=[FIRST, SECOND]))[-1] == "first root"
    assert judge(LEAF, bad, anchors=[FIRST, SECOND]).outcome is Outcome.BAD


def test_cross_signed_loops_end():
    """A and B sign each other, Root signs A; without Root no path is found, with Root one is."""
    a = certify("A")
    b = certify("B", a)
    a_by_b = crossed(a, b)
    leaf = certify("alice", b, ca=False)
    assert rules_of(judge(leaf, b, a_by_b, anchors=[SECOND])) == ["issuer-unknown"]
    a_by_root = crossed(a, SECOND)
    assert subjects(judge(leaf, b, a_by_b, a_by_root, anchors=[SECOND])) == ["alice", "b", "a", "second root"]


def test_a_rolled_over_key_is_bridged_by_a_self_issued_certificate():
    """Root (old key, anchor, length 0) <- Root (new key, self-issued) <- alice; the limit does not count it."""
    old = certify("Root", path_length=0)
    new = certify("Root", old)
    leaf = certify("alice", new, ca=False)
    assert new.parsed.self_issued
    assert subjects(judge(leaf, new, anchors=[old], max_intermediates=0)) == ["alice", "root", "root"]
    other = certify("Other", old)
    judgement = judge(certify("alice", other, ca=False), other, anchors=[old], max_intermediates=0)
    assert [fault.rule for fault in judgement.faults] == [PathRule.PATH_TOO_LONG] * 2


def test_a_wrong_key_identifier_excludes_no_candidate():
    """First Root <- alice, with the authorityKeyIdentifier of another key: a hint, not a rule (4.2.1.1)."""
    leaf = certify("alice", FIRST, ca=False, authority_key=b"somebody else")
    assert rules_of(judge(leaf, anchors=[FIRST])) == []


def test_the_named_key_is_tried_first():
    """Two roots of one name: only one signature is checked if the key identifier names the right one."""
    twins = [certify("Twin"), certify("Twin")]
    for signer in twins:
        leaf = certify("alice", signer, ca=False)
        work = WorkBudget(signatures=1)
        assert judge(leaf, anchors=twins, work=work).outcome is Outcome.GOOD
        assert work.signatures == 0


def test_a_signature_by_a_namesake_is_invalid():
    """First Root's name, another key."""
    impostor = certify("First Root")
    assert rules_of(judge(certify("alice", impostor, ca=False), anchors=[FIRST])) == ["signature-invalid"]


def test_a_fault_of_the_leaf_ends_it_before_any_work():
    """An expired leaf costs no candidate."""
    work = WorkBudget()
    expired = certify("alice", ISSUING, ca=False, not_after=PAST)
    judgement = judge(expired, ISSUING, anchors=[FIRST], work=work)
    assert rules_of(judgement) == ["expired"]
    assert judgement.path == ()
    assert work.candidates == WorkBudget().candidates


def tower(height):
    """An anchor, `height` authorities above one another, and a leaf."""
    nodes = [certify("Base")]
    for level in range(height):
        nodes.append(certify(f"Level {level}", nodes[-1]))
    return nodes[0], nodes[1:], certify("alice", nodes[-1], ca=False)


def test_the_number_of_intermediates_is_limited():
    """Eight intermediates are good, nine are not, unless asked otherwise."""
    anchor, between, leaf = tower(9)
    below = certify("alice", between[-2], ca=False)
    assert rules_of(judge(below, *between, anchors=[anchor])) == []
    assert rules_of(judge(leaf, *between, anchors=[anchor])) == ["path-too-long"]
    assert rules_of(judge(leaf, *between, anchors=[anchor], max_intermediates=9)) == []


def test_depth_is_limited_and_says_so():
    """Twenty certificates are a path; of twenty-one the refusal names the rule."""
    anchor, between, leaf = tower(DEPTH_LIMIT - 1)
    below = certify("alice", between[-2], ca=False)
    options = {"anchors": [anchor], "max_intermediates": 99}
    assert len(judge(below, *between, **options).path) == DEPTH_LIMIT
    judgement = judge(leaf, *between, **options)
    assert rules_of(judgement) == ["path-too-long"]
    assert "at most 20" in judgement.faults[0].detail


@pytest.mark.parametrize(
    ("work", "detail"),
    [
        (WorkBudget(candidates=2), ""),
        (WorkBudget(candidates=1), "candidates"),
        (WorkBudget(signatures=2), ""),
        (WorkBudget(signatures=1), "signatures"),
        (WorkBudget(paths=1), ""),
        (WorkBudget(paths=0), "paths"),
        (WorkBudget(names=ComparisonBudget(2)), ""),
        (WorkBudget(names=ComparisonBudget(1)), "names and policies"),
    ],
)
def test_each_budget_is_spent_to_its_end_and_not_beyond(work, detail):
    """Root (permitted CN=alice) <- Issuing <- alice: two candidates, two signatures, one path, a name each."""
    names = [x509.DirectoryName(x509.Name.from_rfc4514_string(f"CN={one}")) for one in ("Issuing", "alice")]
    root = certify("Root", permitted=names[:1])
    middle = certify("Alice", root, permitted=names[1:])
    root = certify("Root", key=root.key, excluded=names[:1])
    leaf = certify("alice", middle, ca=False)
    middle = crossed(middle, root)
    judgement = judge(leaf, middle, anchors=[root], work=work)
    assert [fault.detail for fault in judgement.faults] == ([detail] if detail else [])


def test_many_namesakes_are_work_exceeded():
    """Sixty cross-signed authorities of one name, each of which could stand above each other."""
    key = ec.generate_private_key(ec.SECP256R1())
    apex = certify("Same", key=key)
    same = [certify("Same", apex) for _ in range(60)]
    same += [certify("Same", one, key=other.key) for one, other in itertools.pairwise(same)]
    leaf = certify("alice", same[0], ca=False)
    judgement = judge(leaf, *same, anchors=[FIRST])
    assert judgement.faults[0].rule is PathRule.WORK_EXCEEDED


def test_faults_are_limited_and_work_that_exceeded_is_among_them():
    """Forty expired namesakes give 32 faults; the one that ended the search comes first."""
    same = [certify("Same", not_after=PAST, key=ISSUING.key) for _ in range(40)]
    leaf = certify("alice", same[0], ca=False)
    assert len(judge(leaf, anchors=same).faults) == FAULT_LIMIT
    judgement = judge(leaf, anchors=same, work=WorkBudget(candidates=39))
    assert len(judgement.faults) == FAULT_LIMIT
    assert judgement.faults[0].rule is PathRule.WORK_EXCEEDED
