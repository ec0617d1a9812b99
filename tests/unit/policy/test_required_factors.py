"""policy.decision: rules that ask for a second factor."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.core.entities import Outcome, Reason
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.policy.analysis import lint_document
from doorward.policy.decision import Request, decide, loses_permissions
from doorward.policy.model import AppPolicy, Document, Effect, Residual
from doorward.policy.paths import PathPattern
from doorward.policy.request_headers import HeaderOptions
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.table import select
from tests.support.grants import decide_by_grants
from tests.support.ports import NOON
from tests.unit.policy.test_decision import APP_ID, TENANT, app, permissions, person, rule

WEBAUTHN = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5))
TOTP = Requirement(factor=FactorKind.TOTP)
ANY = Requirement()


def fresh(minutes: int, **of: Any) -> Requirement:
    """A requirement of the last minutes."""
    return Requirement(**of, within=timedelta(minutes=minutes))


def needing(*requirements: Requirement) -> AppPolicy:
    """Return an application with one rule that requires these."""
    one = rule(Effect.ALLOW, "x")
    return app(replace(one, residual=Residual(requirements=frozenset(requirements))))


class TestRequirements:
    """Requirements of rules in decisions."""

    @pytest.mark.parametrize(
        ("before", "after", "lost"),
        [
            ((), (WEBAUTHN,), True),
            ((WEBAUTHN,), (), False),
            ((WEBAUTHN,), (WEBAUTHN,), False),
            ((WEBAUTHN,), (fresh(4, factor=FactorKind.WEBAUTHN),), True),
            ((WEBAUTHN,), (fresh(6, factor=FactorKind.WEBAUTHN),), False),
            ((WEBAUTHN,), (Requirement(factor=FactorKind.WEBAUTHN),), False),
            ((Requirement(factor=FactorKind.WEBAUTHN),), (WEBAUTHN,), True),
            ((WEBAUTHN,), (fresh(5, factor=FactorKind.TOTP),), True),
            ((WEBAUTHN,), (WEBAUTHN, TOTP), True),
            ((WEBAUTHN, TOTP), (WEBAUTHN,), False),
            ((WEBAUTHN,), (ANY,), False),
            ((WEBAUTHN,), (fresh(5),), False),
            ((WEBAUTHN,), (fresh(4),), True),
            ((ANY,), (WEBAUTHN,), True),
            ((ANY,), (Requirement(level=2),), False),
            ((Requirement(level=2),), (ANY,), False),
            ((Requirement(level=2),), (Requirement(level=3),), True),
            ((Requirement(level=3),), (Requirement(factor=FactorKind.WEBAUTHN),), False),
            ((Requirement(level=3),), (Requirement(level=2),), False),
            ((), (Requirement(level=2),), True),
        ],
    )
    def test_a_raised_requirement_is_a_loss(
        self, before: tuple[Requirement, ...], after: tuple[Requirement, ...], *, lost: bool
    ) -> None:
        """One more factor, another one, or a fresher one is a loss."""
        old, new = (permissions(needing(*one), "x") for one in (before, after))
        assert loses_permissions(old, new) is lost

    @pytest.mark.parametrize(
        ("requirements", "ages", "missing"),
        [
            ((WEBAUTHN,), {}, (WEBAUTHN,)),
            ((WEBAUTHN,), {FactorKind.WEBAUTHN: 300}, ()),
            ((WEBAUTHN,), {FactorKind.WEBAUTHN: 301}, (WEBAUTHN,)),
            ((WEBAUTHN,), {FactorKind.TOTP: 0}, (WEBAUTHN,)),
            ((WEBAUTHN, TOTP), {FactorKind.WEBAUTHN: 0}, (TOTP,)),
            ((WEBAUTHN, TOTP), {FactorKind.WEBAUTHN: 0, FactorKind.TOTP: 9000}, ()),
            ((ANY,), {FactorKind.PASSWORD: 9000}, ()),
            ((ANY,), {FactorKind.RECOVERY: 0}, (ANY,)),
            ((fresh(1),), {FactorKind.PASSWORD: 90, FactorKind.TOTP: 30}, ()),
            ((Requirement(level=3),), {FactorKind.PASSWORD: 0}, (Requirement(level=3),)),
        ],
    )
    def test_a_rule_holds_if_its_factors_were_shown(
        self,
        requirements: tuple[Requirement, ...],
        ages: dict[FactorKind, int],
        missing: tuple[Requirement, ...],
    ) -> None:
        """All of them, each not longer ago than it says; by rules and by grants."""
        policy = needing(*requirements)
        shown = ShownFactors.of({kind: NOON - timedelta(seconds=age) for kind, age in ages.items()})
        request = Request(method="GET", raw_path="/", shown=shown)
        decision = decide(policy, TENANT, APP_ID, replace(person("x"), time=NOON), request)
        assert decision.missing == set(missing)
        assert decision.reasons[-1] is (Reason.FACTOR_MISSING if missing else Reason.RULE_ALLOWS)
        grants = permissions(policy, "x").grants
        assert decide_by_grants(policy, TENANT, APP_ID, grants, request, time=NOON) is decision.outcome

    def test_an_age_that_is_not_known_is_too_great(self) -> None:
        """Without the time of the decision, a factor is not fresh; if its age does not matter, it counts."""
        request = Request(method="GET", raw_path="/", shown=ShownFactors.of({FactorKind.WEBAUTHN: NOON}))
        for asked, outcome in ((WEBAUTHN, Outcome.BAD), (ANY, Outcome.GOOD)):
            assert decide(needing(asked), TENANT, APP_ID, person("x"), request).outcome is outcome

    @pytest.mark.parametrize(
        ("age", "why"),
        [
            (None, "it needs webauthn within 5 min; not shown"),
            (12 * 60 + 5, "it needs webauthn within 5 min; shown 12 min ago"),
            (7300, "it needs webauthn within 5 min; shown 2 h ago"),
        ],
    )
    def test_a_finding_says_what_is_missing(self, age: int | None, why: str) -> None:
        """The text has the age of the shown factor."""
        times = {} if age is None else {FactorKind.WEBAUTHN: NOON - timedelta(seconds=age)}
        request = Request(method="GET", raw_path="/", shown=ShownFactors.of(times))
        decision = decide(needing(WEBAUTHN), TENANT, APP_ID, replace(person("x"), time=NOON), request)
        assert [one.why for one in decision.findings] == [why]

    def test_a_factor_does_not_help_if_a_rule_denies(self) -> None:
        """Then it is the deny that is told, and nothing is asked for."""
        policy = needing(WEBAUTHN)
        policy = replace(policy, rules=(*policy.rules, rule(Effect.DENY, "x")))
        decision = decide(policy, TENANT, APP_ID, person("x"), Request(method="GET", raw_path="/"))
        assert (decision.reasons[-1], decision.missing) == (Reason.RULE_DENIES, frozenset())

    def test_a_factor_is_not_asked_of_who_is_not_selected(self) -> None:
        """It would not help."""
        decision = decide(needing(WEBAUTHN), TENANT, APP_ID, person("y"), Request(method="GET", raw_path="/"))
        assert (decision.reasons[-1], decision.missing) == (Reason.NO_RULE_MATCHED, frozenset())

    def test_of_several_rules_the_one_that_asks_for_least_is_told(self) -> None:
        """Fewer things before weaker ones, and weaker ones before older ones."""
        asked = [(WEBAUTHN, TOTP), (WEBAUTHN,), (TOTP,), (fresh(5),), (fresh(9),), (ANY,)]
        while asked:
            rules = tuple(replace(needing(*one).rules[0], name=str(at)) for at, one in enumerate(asked))
            policy = replace(needing(), rules=rules)
            decision = decide(policy, TENANT, APP_ID, person("x"), Request(method="GET", raw_path="/"))
            assert decision.missing == set(asked.pop())

    @pytest.mark.parametrize(
        ("enrolled", "way"),
        [
            ({FactorKind.TOTP}, {TOTP}),
            ({FactorKind.WEBAUTHN}, {WEBAUTHN}),
            ({FactorKind.WEBAUTHN, FactorKind.TOTP}, {TOTP}),
            ({FactorKind.PASSWORD}, {TOTP}),
            (set(), {TOTP}),
        ],
    )
    def test_a_person_is_asked_for_what_they_have(
        self, enrolled: set[FactorKind], way: set[Requirement]
    ) -> None:
        """Of several rules one that they can meet; if there is none, the one that asks for least."""
        rules = tuple(
            replace(needing(*one).rules[0], name=str(at)) for at, one in enumerate([(WEBAUTHN,), (TOTP,)])
        )
        request = Request(method="GET", raw_path="/")
        decision = decide(replace(needing(), rules=rules), TENANT, APP_ID, person("x"), request)
        assert decision.missing_for(enrolled) == way
        assert decide(needing(), TENANT, APP_ID, person("x"), request).missing_for(enrolled) == set()

    def test_a_factor_does_not_help_if_the_destination_is_refused(self) -> None:
        """Both paths are judged before anything is asked for."""
        residual = Residual(paths=(PathPattern("/a"),), requirements=frozenset({ANY}))
        policy = app(replace(rule(Effect.ALLOW, "x"), residual=residual))
        policy = replace(policy, headers=HeaderOptions(destination=True))
        for destination, reason in (("/b", Reason.NO_RULE_MATCHED), ("/a", Reason.FACTOR_MISSING)):
            request = Request(method="COPY", raw_path="/a", destination=destination)
            assert decide(policy, TENANT, APP_ID, person("x"), request).reasons[-1] is reason

    def test_a_deny_rule_asks_for_nothing(self) -> None:
        """A deny rule with a requirement would deny people who show a factor."""
        with pytest.raises(ValueError, match="no requirements"):
            replace(needing(WEBAUTHN).rules[0], effect=Effect.DENY)

    @pytest.mark.parametrize(
        ("asked", "less", "code"),
        [
            ((WEBAUTHN,), (), "requirement-idle"),
            ((WEBAUTHN,), (ANY,), "requirement-idle"),
            ((WEBAUTHN,), (fresh(6, factor=FactorKind.WEBAUTHN),), "requirement-idle"),
            ((WEBAUTHN,), (WEBAUTHN,), "rule-redundant"),
            ((WEBAUTHN,), (fresh(5, level=3),), "rule-redundant"),
        ],
    )
    def test_a_rule_that_asks_for_less_makes_a_requirement_idle(
        self, asked: tuple[Requirement, ...], less: tuple[Requirement, ...], code: str
    ) -> None:
        """The factor is never asked for, and the rule that asks for less is not idle."""
        asking, plain = needing(*asked).rules[0], needing(*less).rules[0]
        both = replace(needing(), rules=(plain, replace(asking, name="other")))
        found = lint_document(Document(trust_domain="test", apps=(both,)))
        assert [(one.rule, one.code) for one in found] == [("other", code)]

    @pytest.mark.parametrize(
        ("kinds", "codes"), [(("device", "service"), ["requirement-of-machines"]), (("device", "person"), [])]
    )
    def test_machines_cannot_meet_a_requirement(self, kinds: tuple[str, ...], codes: list[str]) -> None:
        """A rule that selects only machines gives a finding."""
        one = replace(needing(ANY).rules[0], selector=select({"kind": frozenset(kinds)}))
        found = lint_document(Document(trust_domain="test", apps=(replace(needing(), rules=(one,)),)))
        assert [one.code for one in found] == codes
