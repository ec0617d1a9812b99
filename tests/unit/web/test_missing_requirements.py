"""web.portal.missing_requirements: what a person who was sent to the portal has to show yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.access.policies import apply_document
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.stores.factor_records import StepUpRecord
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.web.portal.missing_requirements import find_missing_requirements
from tests.support.factor_records import step_up
from tests.support.factor_world import FactorWorld
from tests.support.world import OPERATOR, found_world

DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - {allow: {groups: [tellers]}, to: {paths: ["/transfers"]}, require: {factor: totp}}
      - {allow: {groups: [tellers]}, to: {paths: ["/transfers"]}, require: {factor: webauthn, within: 5m}}
      - {deny: {groups: [tellers]}, to: {paths: ["/closed"]}}
"""
PASSKEY = FactorKind.WEBAUTHN


@pytest.fixture
def people() -> FactorWorld:
    """A founded authority with two rules for one path, each with a factor of its own."""
    made = found_world(FactorWorld)
    apply_document(made.services, DOCUMENT, file="f", actor=OPERATOR)
    return made


def ask(people: FactorWorld, shown: ShownFactors = NOTHING_SHOWN, **changed: str) -> list[str] | None:
    """What Alice, who has a passkey, has to show yet for a request."""
    who = people.comes("alice")
    if not people.kinds(who):
        people.passkey(who)
    application = people.application_id("payments")
    kept: StepUpRecord = step_up(
        "one", **{"application_id": application, "return_path": "/transfers?to=bob", **changed}
    )
    needs = find_missing_requirements(people.services, PolicySnapshots(), who, kept, shown)
    return None if needs is None else sorted(map(str, needs))


def passkey(people: FactorWorld, *, minutes: int) -> ShownFactors:
    """A passkey that was shown so long ago."""
    return ShownFactors.of({PASSKEY: people.clock.now() - timedelta(minutes=minutes)})


def test_a_person_is_asked_for_a_factor_that_they_have(people: FactorWorld) -> None:
    """The other rule asks for less, and Alice has no app."""
    assert ask(people) == ["webauthn within 5 min"]
    assert ask(people, passkey(people, minutes=6)) == ["webauthn within 5 min"]


def test_what_was_shown_is_enough_by_any_rule(people: FactorWorld) -> None:
    """Then nothing is asked for, and the person is sent straight back."""
    assert ask(people, passkey(people, minutes=1)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"return_path": "/closed"},
        {"return_path": "/elsewhere"},
        {"application_id": "app_gone"},
        {"application_id": PORTAL_APPLICATION},
    ],
)
def test_where_no_factor_helps_nothing_is_known(people: FactorWorld, changed: dict[str, str]) -> None:
    """The door has the last word."""
    assert ask(people, passkey(people, minutes=1), **changed) is None
