"""Certificate policies along a path: RFC 5280 with the changes of RFC 9618."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.verification.path.certificate import POLICY_LIMIT
from doorward.verification.path.constraints import ComparisonBudget, ComparisonsExceeded
from doorward.verification.path.policies import PolicyGraph, PolicyInputs
from tests.support.certificates.issuing import ANY_POLICY, certify
from tests.support.certificates.judging import judge, rules_of

KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = certify("Root", key=KEY)
GOLD, SILVER, LEAD = "1.2.1", "1.2.2", "1.2.3"
ANY = {"valid": [ANY_POLICY]}
EXPLICIT = PolicyInputs(explicit=True)


def row(*policies, self_issued=()):
    """Certificates below Root, the last a leaf; those at positions in `self_issued` bear the name above."""
    issuer = ROOT
    for position, policy in enumerate(policies):
        last = position == len(policies) - 1
        subject = issuer.certificate.subject if position in self_issued else f"level {position}"
        issuer = certify(subject, issuer, ca=not last, key=KEY, policy=policy)
        yield issuer


def verdict(nodes, inputs, budget=None):
    """The rules that the path breaks, and the policies that hold for it."""
    *others, leaf = nodes
    graph = PolicyGraph(inputs, len(others) + 1, budget or ComparisonBudget(10**9))
    for node in others:
        if not (graph.process(node.parsed, last=False) and graph.prepare_next(node.parsed)):
            return False, frozenset()
    good = graph.process(leaf.parsed, last=True) and graph.wrap_up(leaf.parsed)
    return good, graph.user_constrained_policies()


def has(*valid, **more):
    """The policy extensions of one certificate."""
    return {"valid": valid, **more}


CASES = {
    # name: (row, inputs, good, policies that hold)
    "one policy throughout": ([has(GOLD), has(GOLD)], EXPLICIT, True, {GOLD}),
    "two policies, one in common": ([has(GOLD, SILVER), has(GOLD, LEAD)], EXPLICIT, True, {GOLD}),
    "none in common": ([has(GOLD), has(SILVER)], EXPLICIT, False, set()),
    "none in common, none asked for": ([has(GOLD), has(SILVER)], PolicyInputs(), True, set()),
    "no extension in the middle": ([has(GOLD), None, has(GOLD)], EXPLICIT, False, set()),
    "no extension, none asked for": ([None, has(GOLD)], PolicyInputs(), True, set()),
    "any above one": ([ANY, has(GOLD)], EXPLICIT, True, {GOLD}),
    "one above any": ([has(GOLD), ANY], EXPLICIT, True, {GOLD}),
    "any throughout": ([ANY, ANY], EXPLICIT, True, {ANY_POLICY}),
    "any throughout, gold wanted": (
        [ANY, ANY],
        PolicyInputs(explicit=True, acceptable=frozenset({GOLD})),
        True,
        {GOLD},
    ),
    "silver wanted, gold there": (
        [has(GOLD), has(GOLD)],
        PolicyInputs(explicit=True, acceptable=frozenset({SILVER})),
        False,
        set(),
    ),
    "silver wanted, not asked for": (
        [has(GOLD), has(GOLD)],
        PolicyInputs(acceptable=frozenset({SILVER})),
        True,
        set(),
    ),
    "any in the wanted set": (
        [has(GOLD), has(GOLD)],
        PolicyInputs(explicit=True, acceptable=frozenset({ANY_POLICY})),
        True,
        {GOLD},
    ),
    "any inhibited from the start": (
        [ANY, has(GOLD)],
        PolicyInputs(explicit=True, inhibit_any=True),
        False,
        set(),
    ),
    "any beside another, inhibited": (
        [has(GOLD, ANY_POLICY), has(SILVER)],
        PolicyInputs(explicit=True, inhibit_any=True),
        False,
        set(),
    ),
    "any inhibited by the first": ([has(GOLD, inhibit_any=0), ANY], EXPLICIT, False, set()),
    "any inhibited after one more": ([has(GOLD, inhibit_any=1), ANY, has(GOLD)], EXPLICIT, True, {GOLD}),
    "any inhibited too late": ([has(GOLD, inhibit_any=1), has(GOLD), ANY], EXPLICIT, False, set()),
    "a later count is not larger": (
        [has(GOLD, inhibit_any=0), has(GOLD, inhibit_any=9), ANY],
        EXPLICIT,
        False,
        set(),
    ),
    "explicit by the first": ([has(GOLD, explicit=0), has(SILVER)], PolicyInputs(), False, set()),
    "explicit after one more": ([has(GOLD, explicit=1), has(SILVER)], PolicyInputs(), False, set()),
    "explicit after two more": ([has(GOLD, explicit=2), has(SILVER)], PolicyInputs(), True, set()),
    "explicit by the leaf": ([None, {"explicit": 0}], PolicyInputs(), False, set()),
    "explicit by the leaf, later": ([None, {"explicit": 1}], PolicyInputs(), True, set()),
    "mapped": ([has(GOLD, mappings=[(GOLD, SILVER)]), has(SILVER)], EXPLICIT, True, {GOLD}),
    "mapped, the old name is gone": (
        [has(GOLD, mappings=[(GOLD, SILVER)]), has(GOLD)],
        EXPLICIT,
        False,
        set(),
    ),
    "mapped to two": (
        [has(GOLD, mappings=[(GOLD, SILVER), (GOLD, LEAD)]), has(LEAD)],
        EXPLICIT,
        True,
        {GOLD},
    ),
    "two mapped to one": (
        [has(GOLD, SILVER, mappings=[(GOLD, LEAD), (SILVER, LEAD)]), has(LEAD)],
        EXPLICIT,
        True,
        {GOLD, SILVER},
    ),
    "mapped below any": (
        [has(ANY_POLICY, mappings=[(GOLD, LEAD)]), has(LEAD)],
        EXPLICIT,
        True,
        {GOLD},
    ),
    "mapped, but not there": (
        [has(SILVER, mappings=[(GOLD, LEAD)]), has(LEAD)],
        EXPLICIT,
        False,
        set(),
    ),
    "mapped through any": (
        [has(GOLD, mappings=[(GOLD, SILVER)]), ANY, has(SILVER)],
        EXPLICIT,
        True,
        {GOLD},
    ),
    "mapping inhibited from the start": (
        [has(GOLD, mappings=[(GOLD, SILVER)]), has(SILVER)],
        PolicyInputs(explicit=True, inhibit_mapping=True),
        False,
        set(),
    ),
    "mapping inhibited, others stay": (
        [has(GOLD, LEAD, mappings=[(GOLD, SILVER)]), has(LEAD)],
        PolicyInputs(explicit=True, inhibit_mapping=True),
        True,
        {LEAD},
    ),
    "mapping inhibited by the first": (
        [has(GOLD, inhibit_mapping=0), has(GOLD, mappings=[(GOLD, SILVER)]), has(SILVER)],
        EXPLICIT,
        False,
        set(),
    ),
    "mapping inhibited, of what is not there": (
        [has(GOLD, inhibit_mapping=0), has(GOLD, mappings=[(SILVER, LEAD)]), has(GOLD)],
        EXPLICIT,
        True,
        {GOLD},
    ),
    "mapping inhibited by the first, too late": (
        [has(GOLD, inhibit_mapping=1), has(GOLD, mappings=[(GOLD, SILVER)]), has(SILVER)],
        EXPLICIT,
        True,
        {GOLD},
    ),
    "mapping without policies": ([{"mappings": [(GOLD, SILVER)]}, has(SILVER)], EXPLICIT, False, set()),
    "mapped to any": ([has(GOLD, mappings=[(GOLD, ANY_POLICY)]), has(GOLD)], PolicyInputs(), False, set()),
    "any mapped": ([has(GOLD, mappings=[(ANY_POLICY, GOLD)]), has(GOLD)], PolicyInputs(), False, set()),
}


@pytest.mark.parametrize(("policies", "inputs", "good", "holding"), CASES.values(), ids=CASES.keys())
def test_policies_of_a_path(policies, inputs, good, holding):
    """Root <- the certificates of the row: whether it is acceptable, and for which policies."""
    nodes = list(row(*policies))
    found, constrained = verdict(nodes, inputs)
    assert found is good
    if good:
        assert constrained == holding
    judgement = judge(nodes[-1], *nodes[:-1], anchors=[ROOT], policies=inputs)
    assert (rules_of(judgement) == []) is good


def test_a_self_issued_authority_may_say_any_and_spends_no_count():
    """Root <- A (any policy inhibited at once) <- A again <- leaf: any policy counts in a self-issued one."""
    middle = [has(GOLD, inhibit_any=0), ANY, has(GOLD)]
    assert verdict(list(row(*middle, self_issued=(1,))), EXPLICIT) == (True, {GOLD})
    assert verdict(list(row(*middle)), EXPLICIT)[0] is False
    counted = [has(GOLD, explicit=1), None, has(SILVER)]
    assert verdict(list(row(*counted, self_issued=(1,))), PolicyInputs())[0] is False
    never = [has(GOLD, explicit=3), None, has(SILVER)]
    assert verdict(list(row(*never, self_issued=(1,))), PolicyInputs())[0] is True


def test_a_self_issued_leaf_may_not_say_any():
    """Root <- A (any policy inhibited) <- A as the end of the path, with any policy."""
    nodes = list(row(has(GOLD, inhibit_any=0), ANY, self_issued=(1,)))
    assert verdict(nodes, EXPLICIT)[0] is False


def test_the_anchors_own_policies_are_left_out():
    """Root (policy silver, explicit) <- Issuing (gold) <- leaf (gold) is as good as under a bare Root."""
    root = certify("Root", key=KEY, policy=has(SILVER, explicit=0))
    nodes = list(row(has(GOLD), has(GOLD)))
    assert rules_of(judge(nodes[-1], nodes[0], anchors=[root])) == []


def test_a_graph_that_would_be_an_exponential_tree_stays_small():
    """Eighteen authorities that map two policies to both, each time (CVE-2023-0464), end at once."""
    both = [(GOLD, GOLD), (GOLD, SILVER), (SILVER, GOLD), (SILVER, SILVER)]
    nodes = list(row(*[has(GOLD, SILVER, mappings=both)] * 17, has(GOLD)))
    good, holding = verdict(nodes, EXPLICIT, ComparisonBudget(1000))
    assert good
    assert holding == {GOLD, SILVER}


def test_many_policies_cost_no_square():
    """As many policies as there may be, each mapped, ten authorities deep, end at once."""
    many = [f"1.3.{number}" for number in range(POLICY_LIMIT - 1)]
    levels = [
        has(ANY_POLICY, *many, mappings=[(one, f"{one}.{level}") for one in many]) for level in range(10)
    ]
    nodes = list(row(*levels, ANY))
    for node in nodes:
        assert node.parsed
    began = time.process_time()  # of this process alone; a square took over five seconds of it
    good, _ = verdict(nodes, EXPLICIT)
    assert time.process_time() - began < 4
    assert good


def test_edges_are_taken_from_the_budget():
    """Root <- Issuing (two policies) <- leaf (one): one and two edges, two and one policies, five each."""
    nodes = list(row(has(GOLD, SILVER), has(GOLD)))
    for left, enough in ((30, True), (29, False)):
        graph = PolicyGraph(EXPLICIT, 2, ComparisonBudget(left))
        assert graph.process(nodes[0].parsed, last=False)
        assert graph.prepare_next(nodes[0].parsed)
        if enough:
            assert graph.process(nodes[1].parsed, last=True)
        else:
            with pytest.raises(ComparisonsExceeded):
                graph.process(nodes[1].parsed, last=True)
