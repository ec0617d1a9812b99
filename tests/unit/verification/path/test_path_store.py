"""The store: who may end a path, who is known, and what is remembered."""

from __future__ import annotations

import pytest

from doorward.core.entities import Outcome
from doorward.verification.path import store as store_module
from doorward.verification.path.building import WorkBudget, judge_path
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from tests.support.certificates.issuing import certify
from tests.support.ports import NOON

ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
LEAF = certify("alice", ISSUING, ca=False)
STRENGTH = Strength()


def test_anchors_and_intermediates_are_told_apart():
    """An anchor that is also given as an intermediate is an anchor, once."""
    store = TrustStore([ROOT.parsed], [ISSUING.parsed, ROOT.parsed, ISSUING.parsed])
    assert store.is_anchor(ROOT.parsed)
    assert not store.is_anchor(ISSUING.parsed)
    assert list(store.find_by_subject(ROOT.parsed.subject)) == [ROOT.parsed]
    assert list(store.find_by_subject(ISSUING.parsed.subject)) == [ISSUING.parsed]
    assert list(store.find_by_subject(LEAF.parsed.subject)) == []


def test_signatures_between_members_are_cached():
    """The result for Issuing is cached, for the strength that it was checked with."""
    store = TrustStore([ROOT.parsed], [ISSUING.parsed])
    assert store.find_checked_signature(ISSUING.parsed, ROOT.parsed, STRENGTH) is None
    assert store.check_signature(ISSUING.parsed, ROOT.parsed, STRENGTH)
    assert store.find_checked_signature(ISSUING.parsed, ROOT.parsed, STRENGTH) is True
    assert store.find_checked_signature(ISSUING.parsed, ROOT.parsed, Strength(rsa_bits=4096)) is None
    assert not store.check_signature(ROOT.parsed, ISSUING.parsed, STRENGTH)
    assert store.find_checked_signature(ROOT.parsed, ISSUING.parsed, STRENGTH) is False


def test_a_valid_signature_of_a_leaf_is_cached(monkeypatch):
    """Signatures of recent leaves are cached; an invalid one displaces none of them."""
    monkeypatch.setattr(store_module, "LEAF_SIGNATURES", 1)
    store = TrustStore([ROOT.parsed], [ISSUING.parsed])
    stranger = certify("eve", ISSUING, ca=False, signer=LEAF.key)
    bob = certify("bob", ISSUING, ca=False)
    assert store.check_signature(LEAF.parsed, ISSUING.parsed, STRENGTH)
    assert not store.check_signature(stranger.parsed, ISSUING.parsed, STRENGTH)
    assert store.find_checked_signature(LEAF.parsed, ISSUING.parsed, STRENGTH) is True
    assert store.find_checked_signature(LEAF.parsed, ROOT.parsed, STRENGTH) is None
    assert store.find_checked_signature(LEAF.parsed, ISSUING.parsed, Strength(rsa_bits=4096)) is None
    assert store.find_checked_signature(stranger.parsed, ISSUING.parsed, STRENGTH) is None
    assert store.check_signature(bob.parsed, ISSUING.parsed, STRENGTH)
    assert store.find_checked_signature(LEAF.parsed, ISSUING.parsed, STRENGTH) is None


def test_a_second_judgement_checks_no_signature_again():
    """Root <- Issuing <- alice: two signatures at first, none afterwards."""
    store = TrustStore([ROOT.parsed], [ISSUING.parsed])
    spent = []
    for _ in range(2):
        work = WorkBudget()
        judgement = judge_path(LEAF.parsed, store, PathInputs(), NOON, work)
        assert judgement.outcome is Outcome.GOOD
        spent.append(WorkBudget().signatures - work.signatures)
    assert spent == [2, 0]


def test_memory_is_limited(monkeypatch):
    """A store with too many certificates is refused, and a full cache stores nothing more."""
    monkeypatch.setattr(store_module, "_REMEMBERED", 0)
    store = TrustStore([ROOT.parsed], [ISSUING.parsed])
    assert store.check_signature(ISSUING.parsed, ROOT.parsed, STRENGTH)
    assert store.find_checked_signature(ISSUING.parsed, ROOT.parsed, STRENGTH) is None
    assert [store.find_faults(ISSUING.parsed, PathInputs()) for _ in range(2)] == [(), ()]
    monkeypatch.setattr(store_module, "STORE_LIMIT", 1)
    TrustStore([ROOT.parsed], [])
    with pytest.raises(ValueError, match="at most 1 "):
        TrustStore([ROOT.parsed], [ISSUING.parsed])
