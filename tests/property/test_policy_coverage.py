"""Rules compared by sets are the same as rules compared in pairs, and thousands take no quadratic time."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.policy.analysis import lint_document
from doorward.policy.coverage import Coverage, rules_in
from doorward.policy.findings import selects
from doorward.policy.model import AppPolicy, Document, Effect, HttpUpstream, Residual, Rule
from doorward.policy.paths import PathPattern
from doorward.policy.selectors.principals import KIND
from doorward.policy.selectors.table import KEYS, Selector, select
from doorward.policy.subject import Subject
from tests.support.examples import examples
from tests.support.policies import rules, subjects

ANY_METHOD = "*"

few = st.lists(rules, min_size=1, max_size=8, unique_by=lambda rule: rule.name)


def rule_covers(wide: Rule, narrow: Rule) -> bool:
    """Say whether everything that the narrow rule is about is within the wide one, for certain."""
    asked, others = wide.residual.requirements, narrow.residual.requirements
    if not all(any(one.is_met_with(other) for other in others) for one in asked):
        return False
    return selects_all_of(wide.selector, narrow.selector) and all(
        within(method, pattern, wide)
        for method in narrow.residual.methods or (ANY_METHOD,)
        for pattern in narrow.residual.paths
    )


def rules_may_meet(one: Rule, other: Rule) -> bool:
    """Say whether some request of some principal might be within both."""
    mine, theirs = one.residual.methods, other.residual.methods
    if mine is not None and theirs is not None and mine.isdisjoint(theirs):
        return False
    if not any(a.overlaps(b) for a in one.residual.paths for b in other.residual.paths):
        return False
    names = dict(one.selector.named), dict(other.selector.named)
    return any(
        not names[0][kind] or not names[1][kind] or names[0][kind] & names[1][kind]
        for kind in one.selector.possible_kinds & other.selector.possible_kinds
    )


def within(method: str, pattern: PathPattern, wide: Rule) -> bool:
    """Say whether one method on one pattern is within a rule."""
    return wide.residual.matches_method(method, wide.effect) and any(
        one.covers(pattern) for one in wide.residual.paths
    )


def selects_all_of(wide: Selector, narrow: Selector) -> bool:
    """Say whether the wide selector selects everybody whom the narrow one selects, for certain."""
    for key in KEYS:
        mine, theirs = wide.value(key.word), narrow.value(key.word)
        if mine is None:
            continue
        if key is KIND:
            if not {kind.value for kind in narrow.possible_kinds} <= mine:
                return False
        elif theirs is None or not all(
            key.wider(one) & key.alternatives(mine) for one in key.alternatives(theirs)
        ):
            return False
    return True


@given(few)
@settings(max_examples=examples(300))
def test_sets_and_pairs_agree(some: list[Rule]) -> None:
    """What covers a rule, and what may meet it, is the same however it is found."""
    coverage = Coverage(some)
    for rule in some:
        covering = [one.name for one in rules_in(some, coverage.covering(rule))]
        assert covering == [one.name for one in some if rule_covers(one, rule)]
        meeting = [one.name for one in rules_in(some, coverage.meeting(rule))]
        assert meeting == [one.name for one in some if rules_may_meet(rule, one)]
    allowing = [one.name for one in rules_in(some, coverage.of_effect(Effect.ALLOW))]
    assert allowing == [one.name for one in some if one.effect is Effect.ALLOW]


@given(few, subjects)
@settings(max_examples=examples(1000))
def test_what_is_said_of_rules_holds_for_every_subject(some: list[Rule], subject: Subject) -> None:
    """Who is selected by a covered rule is selected by the covering one; rules that select one subject may meet.

    So nothing is called redundant, overruled or idle that matters to somebody, also where facts are undetermined.
    """
    some = [replace(one, residual=Residual()) for one in some]
    coverage = Coverage(some)
    for rule in some:
        if not selects(rule, subject):
            continue
        for wide in rules_in(some, coverage.covering(rule)):
            if wide.effect in (rule.effect, Effect.DENY):
                assert selects(wide, subject)
        meeting = {one.name for one in rules_in(some, coverage.meeting(rule))}
        assert meeting >= {one.name for one in some if selects(one, subject)}


def many(
    effect: Effect, *, group: str = "staff", methods: frozenset[str] | None = None, path: str
) -> AppPolicy:
    """An application with 10,000 rules; `#` in group and path is the number of the rule."""
    made = tuple(
        Rule(
            name=f"rule {at}",
            effect=effect,
            selector=select({"groups": frozenset({group.replace("#", str(at))})}),
            residual=Residual(methods=methods, paths=(PathPattern(path.replace("#", str(at))),)),
        )
        for at in range(10_000)
    )
    return AppPolicy(
        name="app", hosts=("app.test",), upstream=HttpUpstream(host="a.test", port=80), rules=made
    )


def test_ten_thousand_rules_are_looked_at_in_time() -> None:
    """4,000 rules took 84 s in pairs; 10,000 of each shape take a fraction of a second."""
    for app in (
        many(Effect.ALLOW, group="g#", methods=frozenset({"GET"}), path="/a/b#/**"),
        many(Effect.ALLOW, path="/x/#"),
        many(Effect.ALLOW, group="g#", path="/**"),
        many(Effect.DENY, path="/*/y#"),
    ):
        began = time.process_time()
        lint_document(Document(trust_domain="test", apps=(app,)))
        assert time.process_time() - began < 10
