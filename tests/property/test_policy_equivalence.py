"""Subjects that the rules can tell apart never share permissions, for any words of the rules."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.access.known_admissions import is_repeatable_policy
from doorward.gateway.following.permissions import PermissionsCache
from doorward.policy.decision import permissions_of
from doorward.policy.equivalence import SubjectEquivalence
from doorward.policy.model import AppPolicy
from doorward.policy.selectors.table import BY_WORD, KEYS
from doorward.policy.subject import Subject
from tests.support.examples import examples
from tests.support.policies import APP_ID, TENANT, apps, subjects, word_values
from tests.support.ports import NOON
from tests.unit.gateway.live import live


def test_every_word_has_values_to_test_with() -> None:
    """A word that is added to the table is judged by the tests of this file."""
    assert word_values.keys() == {key.word for key in KEYS}


@given(st.sampled_from(sorted(BY_WORD)), st.data(), subjects, subjects)
@settings(max_examples=examples(1500))
def test_a_word_tells_its_viewer_what_it_can_tell_apart(
    word: str, data: st.DataObject, one: Subject, other: Subject
) -> None:
    """If a value of a word holds for one subject and not for the other, or is undetermined, they look different."""
    key = BY_WORD[word]
    values = data.draw(st.lists(word_values[word], min_size=1, max_size=3))
    view = key.discriminator(values)
    if any(key.judge(value, one) is not key.judge(value, other) for value in values):
        assert view(one) != view(other)


@given(st.sampled_from(sorted(BY_WORD)), st.data(), subjects, subjects)
@settings(max_examples=examples(1500))
def test_a_word_about_the_certificate_sees_neither_source_nor_time(
    word: str, data: st.DataObject, one: Subject, other: Subject
) -> None:
    """A word that says that it does not depend on the single connection answers alike for each source and time.

    An admission is repeated for other connections of the same certificate (`access.known_admissions`).
    """
    key = BY_WORD[word]
    value = data.draw(word_values[word])
    if not key.of_connection:
        moved = dataclasses.replace(one, source=other.source, time=other.time)
        assert key.judge(value, one) is key.judge(value, moved)
        assert not key.timed


@given(apps, subjects, subjects)
@settings(max_examples=examples(1500))
def test_a_repeatable_policy_sees_neither_source_nor_time(
    app: AppPolicy, one: Subject, other: Subject
) -> None:
    """What one certificate decides alone is the same for each source and time, with no moment of a change."""
    if is_repeatable_policy(app):
        moved = dataclasses.replace(one, source=other.source, time=other.time)
        found = permissions_of(app, TENANT, APP_ID, one)
        assert found == permissions_of(app, TENANT, APP_ID, moved)
        assert (found.changes_at, found.loses_at) == (None, None)


@given(apps, subjects, subjects)
@settings(max_examples=examples(1500))
def test_equal_keys_mean_equal_permissions(app: AppPolicy, one: Subject, other: Subject) -> None:
    """Two subjects that are alike to an application are judged alike by each of its selectors, and in all."""
    likeness = SubjectEquivalence(app)
    if likeness.key(one) == likeness.key(other):
        assert all(rule.selector.judge(one) is rule.selector.judge(other) for rule in app.rules)
        assert permissions_of(app, TENANT, APP_ID, one) == permissions_of(app, TENANT, APP_ID, other)


@given(apps, st.lists(subjects, min_size=2, max_size=6))
@settings(max_examples=examples(300))
def test_live_connections_never_share_what_is_not_theirs(app: AppPolicy, some: list[Subject]) -> None:
    """What the gateway keeps for those who are alike is what each of them would be given alone."""
    authorities = PermissionsCache({APP_ID: app}, NOON)
    for cookie, subject in enumerate(some):
        one = live(cookie, application_id=APP_ID, subject=subject)
        now = dataclasses.replace(subject, time=NOON)
        assert authorities.of(one) == permissions_of(app, TENANT, APP_ID, now)


def test_who_shares_a_judgement_has_every_fact_in_common() -> None:
    """The follower judges one connection of a certificate, an application and an address for all of them.

    A new fact of a subject must be one of these, or must be added there (gateway.following.follower).
    """
    by_certificate, by_address, by_moment = {"principal", "certificate"}, {"source"}, {"time"}
    facts = {one.name for one in dataclasses.fields(Subject)}
    assert facts == by_certificate | by_address | by_moment
