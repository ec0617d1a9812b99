"""Nouns and verdicts."""

from __future__ import annotations

import pytest

from doorward.core.entities import Outcome, PrincipalKind, Reason, Verdict
from doorward.core.errors import AccessDenied
from tests.support.ports import NOON


def test_a_verdict_has_no_truth_value():
    """`if verdict:` raises, so that undetermined can never count as good."""
    verdict = Verdict(outcome=Outcome.GOOD, reasons=(), judged_at=NOON)
    with pytest.raises(TypeError):
        bool(verdict)


def test_only_a_good_verdict_passes_require():
    """Bad and undetermined raise, with the verdict's own words."""
    Verdict(outcome=Outcome.GOOD, reasons=(Reason.RULE_ALLOWS,), judged_at=NOON).require()
    for outcome in (Outcome.BAD, Outcome.UNDETERMINED):
        with pytest.raises(AccessDenied) as caught:
            Verdict(outcome=outcome, reasons=(Reason.RULE_DENIES,), judged_at=NOON).require()
        assert caught.value.reasons == ("rule-denies",)


def test_reasons_are_kebab_words_each_once():
    """Scripts and audits rely on the words."""
    words = [reason.value for reason in Reason]
    assert all(word == word.lower() and word.replace("-", "").isalnum() for word in words)
    assert len(set(words)) == len(words)


def test_each_kind_of_principal_has_its_prefix():
    """Ids tell the kinds apart."""
    assert [kind.prefix for kind in PrincipalKind] == ["per", "dev", "svc"]
