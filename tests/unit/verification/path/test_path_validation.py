"""What depends on several certificates of a complete path at once."""

from __future__ import annotations

import pytest
from cryptography import x509

from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.constraints import ComparisonBudget, ComparisonsExceeded
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.subtree_text import parse_subtree
from doorward.verification.path.validation import check_path
from tests.support.certificates.issuing import certify

DNS = x509.DNSName


def faults(*top_down, inputs=None, budget=None):
    """The rules that a path breaks and the common names of the certificates; the anchor comes first."""
    path = tuple(node.parsed for node in reversed(top_down))
    names = {one.sha256: one.subject[-1][0][1] for one in path}
    found = check_path(path, inputs or PathInputs(), budget or ComparisonBudget())
    return [(fault.rule.value, names[fault.certificate]) for fault in found]


def test_path_length_counts_authorities_between():
    """Root (length 1) <- A <- B <- leaf is one too many; Root (length 2) is good."""
    for limit, found in ((2, []), (1, [("path-too-long", "root")])):
        root = certify("Root", path_length=limit)
        a = certify("A", root)
        b = certify("B", a)
        assert faults(root, a, b, certify("leaf", b, ca=False)) == found


def test_a_lower_limit_in_the_middle_counts():
    """Root (length 5) <- A (length 0) <- B <- leaf."""
    root = certify("Root", path_length=5)
    a = certify("A", root, path_length=0)
    b = certify("B", a)
    assert faults(root, a, b, certify("leaf", b, ca=False)) == [("path-too-long", "a")]


def test_a_lower_authority_cannot_raise_the_limit():
    """Root (length 0) <- A (length 5) <- leaf."""
    root = certify("Root", path_length=0)
    a = certify("A", root, path_length=5)
    assert faults(root, a, certify("leaf", a, ca=False)) == [("path-too-long", "root")]


def test_self_issued_authorities_are_not_counted():
    """Root <- A (length 0) <- A (new key) <- leaf is good; a B below is one too many."""
    root = certify("Root")
    a = certify("A", root, path_length=0)
    again = certify("A", a, path_length=0)
    assert faults(root, a, again, certify("leaf", again, ca=False)) == []
    b = certify("B", again)
    found = faults(root, a, again, b, certify("leaf", b, ca=False))
    assert found == [("path-too-long", "a"), ("path-too-long", "a")]


def test_a_self_issued_leaf_is_a_leaf():
    """Root (excluded a.test) <- A <- A (the end of the path, a.test): self-issued, and constrained all the same."""
    root = certify("Root", excluded=[DNS("a.test")])
    a = certify("A", root, path_length=0)
    end = certify("A", a, ca=False, names=[DNS("a.test")])
    assert end.parsed.self_issued
    assert faults(root, a, end) == [("name-not-permitted", "a")]


def test_a_self_issued_authority_is_excepted_from_names():
    """Root <- A (excluded a.test) <- A (new key, a.test) <- leaf: 6.1.3 (b) excepts it, not what is below."""
    root = certify("Root")
    a = certify("A", root, excluded=[DNS("a.test")])
    again = certify("A", a, names=[DNS("a.test")])
    assert faults(root, a, again, certify("leaf", again, ca=False)) == []
    leaf = certify("leaf", again, ca=False, names=[DNS("a.test")])
    assert faults(root, a, again, leaf) == [("name-not-permitted", "leaf")]


def test_an_authoritys_own_names_are_constrained_by_those_above():
    """Root (excluded a.test) <- A (a.test) <- leaf."""
    root = certify("Root", excluded=[DNS("a.test")])
    a = certify("A", root, names=[DNS("a.test")])
    assert faults(root, a, certify("leaf", a, ca=False)) == [("name-not-permitted", "a")]


def test_an_authoritys_constraints_do_not_bind_itself():
    """Root <- A (excluded a.test, and named so) <- leaf."""
    root = certify("Root")
    a = certify("A", root, names=[DNS("a.test")], excluded=[DNS("a.test")])
    assert faults(root, a, certify("leaf", a, ca=False)) == []


def test_permitted_subtrees_intersect():
    """Root (permitted example.com) <- A (permitted a.example.com) <- leaf: both must hold it."""
    root = certify("Root", permitted=[DNS("example.com")])
    a = certify("A", root, permitted=[DNS("a.example.com"), DNS("b.test")])
    for host, found in (
        ("x.a.example.com", []),
        ("b.test", [("name-not-permitted", "leaf")]),
        ("c.example.com", [("name-not-permitted", "leaf")]),
    ):
        assert faults(root, a, certify("leaf", a, ca=False, names=[DNS(host)])) == found


@pytest.mark.parametrize("key", ["initial_permitted", "initial_excluded"])
def test_initial_subtrees_bind_all_but_the_anchor_and_the_self_issued(key):
    """Root (x.test) <- A (x.test) <- A (new key, x.test) <- leaf: 6.1.1 (h), (i), as if Root had them."""
    subtree = parse_subtree("dns:y.test" if key == "initial_permitted" else "dns:x.test")
    inputs = PathInputs(**{key: (subtree,)})
    root = certify("Root", names=[DNS("x.test")])
    a = certify("A", root, names=[DNS("x.test")])
    again = certify("A", a, names=[DNS("x.test")])
    good = certify("leaf", again, ca=False, names=[DNS("y.test")])
    bad = certify("leaf", again, ca=False, names=[DNS("x.test")])
    end = certify("A", again, ca=False, names=[DNS("x.test")])
    refused = "name-not-permitted"
    assert faults(root, a, again, good, inputs=inputs) == [(refused, "a")]
    assert faults(root, a, again, bad, inputs=inputs) == [(refused, "leaf"), (refused, "a")]
    assert faults(root, a, again, end, inputs=inputs) == [(refused, "a"), (refused, "a")]
    assert faults(root, certify("B", root), good, inputs=inputs) == []


def test_inputs_with_other_subtrees_are_others():
    """They may be told apart in a table, and their hash does not read thousands of subtrees."""
    one, other = (
        PathInputs(initial_permitted=(parse_subtree(text),)) for text in ("dns:a.test", "dns:b.test")
    )
    assert one != other
    assert hash(one) == hash(other)


def test_every_fault_is_told():
    """Root (length 0, excluded a.test) <- A <- B <- leaf (a.test), explicit policy asked for."""
    root = certify("Root", path_length=0, excluded=[DNS("a.test")])
    a = certify("A", root)
    b = certify("B", a)
    leaf = certify("leaf", b, ca=False, names=[DNS("a.test")])
    inputs = PathInputs(max_intermediates=1, policies=PolicyInputs(explicit=True))
    assert faults(root, a, b, leaf, inputs=inputs) == [
        ("path-too-long", "root"),
        ("path-too-long", "leaf"),
        ("name-not-permitted", "leaf"),
        ("policy-not-acceptable", "a"),
    ]


def test_policies_are_asked_at_the_end_too():
    """Root <- A <- leaf (explicit policy 0, none there): the fault is the leaf's."""
    root = certify("Root")
    a = certify("A", root)
    leaf = certify("leaf", a, ca=False, policy={"explicit": 0})
    assert faults(root, a, leaf) == [("policy-not-acceptable", "leaf")]


def test_comparisons_are_shared_by_all_certificates():
    """Root (two subtrees) <- A (a name) <- leaf (a name): four comparisons."""
    root = certify("Root", excluded=[DNS("a.test"), DNS("b.test")])
    a = certify("A", root, names=[DNS("c.test")])
    leaf = certify("leaf", a, ca=False, names=[DNS("d.test")])
    budget = ComparisonBudget(4)
    assert faults(root, a, leaf, budget=budget) == []
    assert budget.left == 0
    with pytest.raises(ComparisonsExceeded):
        faults(root, a, leaf, budget=ComparisonBudget(3))
