"""The index of selectors leaves out only rules that cannot match: the permissions are those of judging every rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.entities import Reason
from doorward.policy.decision import permissions_of, public_patterns
from doorward.policy.grants import grant_id
from doorward.policy.model import AppPolicy, Effect, RequestPattern, Rule
from doorward.policy.paths import owner_segment
from doorward.policy.selectors.index import SelectorIndex
from doorward.policy.selectors.table import BY_WORD, KEYS, Selector, select
from doorward.policy.subject import Subject, Truth
from tests.support.examples import examples
from tests.support.policies import APP_ID, TENANT, apps, rules, selectors, subjects, word_values

many_selectors = st.lists(selectors, max_size=12)


@given(many_selectors, subjects)
@settings(max_examples=examples(1500))
def test_only_false_selectors_are_left_out(some: list[Selector], subject: Subject) -> None:
    """A selector that matches, or that is undetermined, is always found; the order is that of the rules."""
    found = SelectorIndex(some).candidates(subject)
    assert found == sorted(set(found))
    for place in set(range(len(some))).difference(found):
        assert some[place].judge(subject) is Truth.FALSE


@given(st.sampled_from(sorted(BY_WORD)), st.data(), subjects)
@settings(max_examples=examples(1500))
def test_a_word_lists_all_alternatives_that_match(word: str, data: st.DataObject, subject: Subject) -> None:
    """A word with a list is false for a value if, and only if, no alternative of the value is in the list."""
    key, value = BY_WORD[word], data.draw(word_values[word])
    matching = key.matching(subject)
    if matching is not None:
        assert (key.judge(value, subject) is Truth.FALSE) is key.alternatives(value).isdisjoint(matching)
    if not key.has_matching:
        assert matching is None


@given(apps, st.lists(rules, max_size=8), subjects)
@settings(max_examples=examples(1500))
def test_permissions_are_those_of_judging_every_rule(
    app: AppPolicy, more: list[Rule], subject: Subject
) -> None:
    """Grants, clearances, patterns and the next change are the same, for allow and deny rules, with time, source and certificate."""
    if len(app.trust) == 1 and not app.public and not any(_is_owned(rule) for rule in more):
        named = (replace(rule, name=f"r{place}") for place, rule in enumerate((*app.rules, *more)))
        app = replace(app, rules=tuple(named))
    found = permissions_of(app, TENANT, APP_ID, subject)
    if found.principal_status is Reason.PRINCIPAL_ACTIVE:
        grants, allowed, denied = judge_every_rule(app, subject)
        assert (found.grants, found.allowed, found.denied) == (tuple(sorted(grants)), allowed, denied)
        changes = [rule.selector.next_change(subject) for rule in app.rules]
        assert found.changes_at == min((one for one in changes if one is not None), default=None)


def judge_every_rule(
    app: AppPolicy, subject: Subject
) -> tuple[set[str], frozenset[RequestPattern], frozenset[RequestPattern]]:
    """Return grants, allowed and denied patterns by the definition, without the index."""
    grants: set[str] = set()
    patterns = {Effect.ALLOW: set(public_patterns(app)), Effect.DENY: set[RequestPattern]()}
    for rule in app.rules:
        truth = rule.selector.judge(subject)
        if truth is (Truth.TRUE if rule.effect is Effect.ALLOW else Truth.FALSE):
            grants.add(grant_id(TENANT, APP_ID, rule.effect, rule.selector))
        if truth is Truth.TRUE or (truth is Truth.UNDETERMINED and rule.effect is Effect.DENY):
            patterns[rule.effect] |= rule.residual.patterns_of(owner_segment(subject.principal.name))
    return grants, frozenset(patterns[Effect.ALLOW]), frozenset(patterns[Effect.DENY])


def _is_owned(rule: Rule) -> bool:
    return any(pattern.owned for pattern in rule.residual.paths)


@pytest.mark.parametrize("more", [{}, {"kind": frozenset({"person"})}])
@given(subject=subjects)
@settings(max_examples=examples(200))
def test_rules_for_other_groups_are_left_out(more: dict[str, frozenset[str]], subject: Subject) -> None:
    """A person in two of a hundred groups is judged by two of a hundred rules, also if all rules are about persons."""
    some = [select({**more, "groups": frozenset({f"g{place}"})}) for place in range(100)]
    principal = replace(subject.principal, groups=("g7", "g42", "unmentioned"))
    assert SelectorIndex(some).candidates(replace(subject, principal=principal)) == [7, 42]


def test_a_word_without_a_list_is_never_the_reason_to_leave_a_rule_out() -> None:
    """Only a word about names has a list: a network or a window is judged for each connection."""
    assert {key.word for key in KEYS if not key.has_matching} == {"source", "time"}
