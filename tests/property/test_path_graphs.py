"""Random small worlds of authorities: a path is found exactly if trying all of them finds one."""

from __future__ import annotations

import functools
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from hypothesis import event, given, settings
from hypothesis import strategies as st

from doorward.core.entities import Outcome
from doorward.core.ports import KeyKind
from doorward.verification.path.building import judge_path
from doorward.verification.path.conformance import PathInputs, check_authority, check_dates, check_leaf
from doorward.verification.path.constraints import ComparisonBudget
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import check_path
from tests.support.certificates.issuing import CertifiedKey, cached_key, certify
from tests.support.examples import examples
from tests.support.ports import NOON

INPUTS = PathInputs(max_intermediates=3)
FAULTS = {
    "none": {},
    "expired": {"not_after": NOON - timedelta(days=1)},
    "not a CA": {"ca": False, "purposes": ()},
    "for servers": {"purposes": (x509.ExtendedKeyUsageOID.SERVER_AUTH,)},
    "no room": {"path_length": 0},
    "excludes the leaf": {"excluded": [x509.DNSName("a.test")]},
    "excludes B": {"excluded": [x509.DirectoryName(x509.Name.from_rfc4514_string("CN=B"))]},
}
AUTHORITIES = st.tuples(st.sampled_from("ABC"), st.integers(0, 1))
SPINES = st.lists(AUTHORITIES, min_size=2, max_size=5)
"""Who is certified by the next: something like a way from the leaf to an anchor."""
FAULT_NAMES = st.sampled_from(["none"] * 8 + [*FAULTS])
EDGES = st.tuples(AUTHORITIES, AUTHORITIES, FAULT_NAMES)


@functools.cache
def certificate(subject: tuple[str, int], issuer: tuple[str, int], fault: str) -> CertifiedKey:
    """`subject` with its key, certified by `issuer` with its key; made once for all worlds."""
    above = certify(issuer[0], key=key_of(issuer))
    return certify(subject[0], above, key=key_of(subject), **FAULTS[fault])


@functools.cache
def leaf_below(issuer: tuple[str, int]) -> CertifiedKey:
    """Alice, certified by `issuer`."""
    above = certify(issuer[0], key=key_of(issuer))
    return certify("alice", above, ca=False, names=[x509.DNSName("a.test")])


def key_of(authority: tuple[str, int]):
    """One key for each name and number."""
    return cached_key(KeyKind.P256, 8 + "ABC".index(authority[0]) * 2 + authority[1])


@functools.cache
def signed_by(child: CertifiedKey, issuer: CertifiedKey) -> bool:
    """Whether the library says so."""
    try:
        child.certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, ValueError):
        return False
    return True


def some_path_is_good(leaf: CertifiedKey, nodes: list[CertifiedKey], anchors: set[CertifiedKey]) -> bool:
    """Try every path without a certificate twice, without any thought about which."""

    def grows(path: tuple[CertifiedKey, ...]) -> bool:
        for node in nodes:
            if node in path or not signed_by(path[-1], node):
                continue
            anchor = node in anchors
            if check_authority(node.parsed, INPUTS, anchor=anchor) or check_dates(node.parsed, NOON):
                continue
            longer = (*path, node)
            if anchor:
                if not check_path(tuple(one.parsed for one in longer), INPUTS, ComparisonBudget()):
                    return True
            elif grows(longer):
                return True
        return False

    return not check_leaf(leaf.parsed, INPUTS, NOON) and grows((leaf,))


@settings(max_examples=examples(200), deadline=None)
@given(SPINES, st.lists(FAULT_NAMES, min_size=4, max_size=4), st.lists(EDGES, max_size=4), st.integers(0, 9))
def test_a_path_is_found_exactly_if_there_is_one(spine, faults, more, second):
    """Three names, two keys each, up to eight certificates, a fault here and there, one or two anchors."""
    edges = [(below, above, fault) for below, above, fault in zip(spine, spine[1:], faults, strict=False)]
    nodes = [certificate(*edge) for edge in dict.fromkeys((*edges, *more))]
    anchors = {certificate(*edges[-1]), nodes[second % len(nodes)]}
    leaf = leaf_below(spine[0])
    store = TrustStore([one.parsed for one in anchors], [one.parsed for one in nodes])
    judgement = judge_path(leaf.parsed, store, INPUTS, NOON)
    good = some_path_is_good(leaf, nodes, anchors)
    event(f"good: {good}, certificates: {len(judgement.path)}")
    assert (judgement.outcome is Outcome.GOOD) is good
    assert bool(judgement.faults) is not good
