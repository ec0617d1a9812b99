"""The connections that changed rules are about come first when a new policy is compared with all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.following import reassessing
from doorward.gateway.following.changed_rules import ChangedRules
from doorward.policy.document import parse_document
from doorward.policy.model import AppPolicy
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.world import DOCUMENT
from tests.unit.gateway.following.conftest import Scene
from tests.unit.gateway.live import live
from tests.unit.gateway.standing import enter

APP = "app_" + "a" * 20
OLD = """- {allow: {groups: [tellers]}}
- {deny: {groups: [guests]}}
"""


def policies(rules: str) -> Mapping[str, AppPolicy]:
    """The policies of a document with one application."""
    indented = "".join(f"      {line}\n" for line in rules.splitlines())
    text = (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    rules:\n{indented}"
    )
    return {APP: parse_document(text, file="test.yaml").apps[0]}


def people() -> list[LiveConnection]:
    """Alice, a teller; bob, a clerk; carol, a teller and a guest. And one that is not judged yet."""
    members = {"alice": ("tellers",), "bob": ("clerks",), "carol": ("guests", "tellers")}
    known = [
        live(
            cookie,
            application_id=APP,
            subject=Subject(principal=records.principal(name, id=f"per_{name}", groups=groups)),
        )
        for cookie, (name, groups) in enumerate(members.items(), start=1)
    ]
    return [*known, live(4, application_id=APP)]


@pytest.mark.parametrize(
    ("rules", "concerned"),
    [
        (OLD, []),
        (OLD + "- {deny: {persons: [carol]}}\n", [3]),
        ("- {deny: {persons: [bob]}}\n" + OLD, [2]),  # the others' numbers change, and nothing else of them
        ("- {allow: {groups: [tellers]}}\n", [3]),
        ("- {deny: {groups: [guests]}}\n", [1, 3]),
        (OLD.replace("[tellers]}", "[tellers]}, to: {methods: [GET]}"), [1, 3]),
        (OLD + "- {deny: {kind: [person]}}\n", [1, 2, 3]),
    ],
    ids=["same", "added", "inserted", "denial-gone", "allowance-gone", "narrowed", "everybody"],
)
def test_who_is_concerned_by_a_changed_rule(rules: str, concerned: list[int]) -> None:
    """Those come first that a rule selects which only one of the documents has; all are there."""
    first, others = ChangedRules(policies(OLD), policies(rules)).put_first(people())
    assert [one.cookie for one in first] == concerned
    assert sorted(one.cookie for one in (*first, *others)) == [1, 2, 3, 4]


def test_all_rules_of_an_application_that_is_gone_have_changed() -> None:
    """Who had something there comes first."""
    first, others = ChangedRules(policies(OLD), {}).put_first(people())
    assert [one.cookie for one in first] == [1, 3]
    assert [one.cookie for one in others] == [2, 4]


def test_those_that_a_new_rule_names_are_ended_before_others_are_compared(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's connections, admitted among those of alice, fill the first two batches."""
    monkeypatch.setattr(reassessing, "COMPARED_AT_ONCE", 2)
    alice, bob = scene.enter("alice", 10), scene.enter("bob", 11)
    for cookie in range(12, 18, 2):
        enter(scene.world, scene.connections, alice, cookie)
    enter(scene.world, scene.connections, bob, 19)
    enter(scene.world, scene.connections, bob, 21)
    rule = "      - {name: none, deny: {persons: [bob]}}\n"
    scene.apply(DOCUMENT.replace("  sensors:\n    hosts", f"{rule}  sensors:\n    hosts"))
    scene.follow()
    assert scene.cutter.batches == [[2, 11], [19, 21]]
