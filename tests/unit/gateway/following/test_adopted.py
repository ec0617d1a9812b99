"""A gateway died and the next one adopts its connections: only those end that lost something meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from doorward.directory import nesting
from doorward.directory import principals as directory
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.gateway.connections.journal import Followed
from doorward.gateway.following import adopted as module
from doorward.stores.certificate_choice import CertificateChoice
from tests.unit.gateway.following.conftest import ACTOR, scene_of
from tests.unit.gateway.following.restarting import (
    TWO_GROUPS,
    WIDER,
    Restart,
    held_back,
    into_a_denied_group,
    out_of_the_group,
    revoked,
    signed_out,
    suspended,
)

# nothing was lost


def test_a_connection_that_lost_nothing_goes_on_as_before(restart: Restart) -> None:
    """Ids, class and decision are those that Envoy has; facts and permissions are known again."""
    restart.connect("alice", "bob")
    before = [restart.scene.live(1), restart.scene.live(2)]
    restart.die()
    scene = restart.come_back()
    assert scene.cutter.cut == []
    for one in before:
        now = scene.live(one.cookie)
        assert now == replace(
            one, subject=now.subject, deadline=now.deadline, permissions=now.permissions, partner_id=""
        )
        assert now.subject is not None
        assert now.subject.principal.id == one.principal_id
        assert now.permissions == one.permissions
        assert not now.adopted
        assert now.ends_at == one.ends_at


def test_until_the_first_step_the_gateway_admits_no_connection(restart: Restart) -> None:
    """The changes were acted on, but nothing follows yet."""
    restart.connect("alice")
    restart.die()
    directory.suspend(restart.scene.world.services, "alice", actor=ACTOR)
    scene = restart.come_back()
    assert not scene.follower.fresh()
    assert scene.follower.seq == scene.world.head()
    assert scene.cutter.cut == [1]
    scene.follow()
    assert scene.follower.fresh()


def test_changes_during_the_start_are_acted_on_before_envoy_gets_a_newer_policy(restart: Restart) -> None:
    """Publishing asks for it with the number of its policy; the gateway still admits no connection."""
    restart.connect("alice", "bob")
    restart.die()
    scene = restart.come_back()
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follower.catch_up_to(scene.world.head())
    assert scene.left() == [2]
    assert scene.follower.seq == scene.world.head()
    assert not scene.follower.fresh()


def test_what_other_people_gain_or_lose_ends_nothing(restart: Restart) -> None:
    """Certificates, groups and orders of others, and of nothing that is connected."""
    restart.connect("alice", "bob")
    restart.die()
    restart.scene.world.issue("carol")
    directory.suspend(restart.scene.world.services, "carol", actor=ACTOR)
    assert restart.come_back().left() == [1, 2]


def test_a_gain_ends_nothing(restart: Restart) -> None:
    """Neither another group nor a wider rule."""
    restart.connect("alice", "bob")
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().left() == [1, 2]
    assert "customers" in restart.scene.live(1).subject.principal.groups  # type: ignore[union-attr]
    restart.scene.follow()
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    assert restart.come_back().left() == [1, 2]


def test_rules_of_another_application_end_nothing(restart: Restart) -> None:
    """An edit, also a narrower one, concerns its own connections."""
    restart.connect("alice")
    restart.scene.enter("sensor-1", 2, "sensors")
    restart.scene.follow()
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]'))
    assert restart.come_back().left() == [2]


def test_without_adopted_connections_earlier_changes_are_not_read(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start, or one after a stop, begins at the end of the sequence."""
    monkeypatch.setattr(module, "find_marked", None)
    restart.die()
    assert restart.come_back().follower.seq == restart.scene.world.head()


# something was lost


@pytest.mark.parametrize(
    "lose", [suspended, revoked, held_back, out_of_the_group, into_a_denied_group, signed_out]
)
def test_only_the_connection_that_lost_something_ends(
    restart: Restart, lose: Callable[[Restart], None]
) -> None:
    """Alice loses something while no gateway follows; bob goes on."""
    restart.connect("alice", "bob")
    restart.die()
    lose(restart)
    scene = restart.come_back()
    assert scene.cutter.cut == [1]
    assert scene.cuts() == ["authority-withdrawn"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]'),
        ("methods: [GET, HEAD]", "methods: [GET]"),
        ("deny: {groups: [contractors]}", "deny: {groups: [tellers]}"),
        ("allow: {groups: [tellers]}", "allow: {groups: [managers]}"),
        ("  payments:\n", "  invoices:\n"),
    ],
)
def test_a_narrower_rule_ends_its_connections(restart: Restart, before: str, after: str) -> None:
    """Also if the id of the rule is the same, because only its paths or methods changed."""
    restart.connect("alice")
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(before, after))
    assert restart.come_back().cutter.cut == [1]


def test_what_the_gateway_was_about_to_cut_ends_first(restart: Restart) -> None:
    """It died between the decision and the cut; the connection is not unknown, but ended before anything is confirmed."""
    restart.connect("alice", "bob")
    restart.scene.connections.condemn(1)
    restart.die()
    scene = restart.come_back()
    assert scene.cutter.cut == [1]
    assert scene.left() == [2]
    assert scene.cuts() == ["authority-changed"]
    restart.die()
    assert restart.come_back().cutter.cut == [], "it has ended"


def test_what_was_lost_and_given_back_meanwhile_ends_nothing(restart: Restart) -> None:
    """No gateway followed, and now nothing is missing."""
    restart.connect("alice")
    restart.die()
    restart.leave_group("alice", "tellers")
    restart.join_group("alice", "tellers")
    assert restart.come_back().left() == [1]


def test_what_was_gained_after_the_admission_is_not_kept_either(restart: Restart) -> None:
    """Alice joined a group while she was connected, and lost it while no gateway followed."""
    restart.connect("alice")
    restart.join_group("alice", "customers")
    restart.scene.follow()
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_what_a_followed_edit_gave_is_not_kept_either(restart: Restart) -> None:
    """A rule was widened while she was connected, and narrowed while no gateway followed."""
    restart.connect("alice")
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.follow()
    assert restart.scene.left() == [1]
    restart.die()
    restart.scene.apply(TWO_GROUPS)
    assert restart.come_back().cutter.cut == [1]


def test_on_a_full_disk_it_is_unknown_what_an_edit_gave(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of the edit cannot be written; the former mark would hide that alice had more, and lost it."""
    restart.connect("alice")
    real = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: real(file, data[:10]))
        restart.scene.apply(TWO_GROUPS.replace(*WIDER))
        restart.scene.follow()
    assert restart.scene.left() == [1]
    restart.die()
    restart.scene.apply(TWO_GROUPS)
    assert restart.come_back().cutter.cut == [1]


def test_a_change_is_noted_before_it_counts_as_followed(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing waits for the number: what a new policy gives is not used before the journal knows of it."""
    restart.connect("alice")
    real, noted = restart.scene.connections.note_followed, list[tuple[int, int]]()

    def note(followed: Followed) -> None:
        real(followed)
        noted.append((restart.scene.follower.seq, int(followed.mark.partition(" ")[0])))

    monkeypatch.setattr(restart.scene.connections, "note_followed", note)
    seq = restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.follow()
    assert noted == [(seq - 1, seq)]


def test_what_is_unknown_ends(restart: Restart) -> None:
    """An edit gave her more, and then she changed: what the edit gave her is unknown. An edit elsewhere does not matter."""
    restart.connect("alice", "bob")
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.follow()
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]
    restart.scene.follow()
    restart.scene.apply(
        TWO_GROUPS.replace(*WIDER).replace("allow: {groups: [sensors]}", "allow: {groups: [sensors, meters]}")
    )
    restart.scene.follow()
    restart.die()
    restart.join_group("bob", "customers")
    assert restart.come_back().left() == [2]


def test_a_group_in_a_denied_one_ends_its_members(restart: Restart) -> None:
    """The change names the group, not the person."""
    restart.connect("alice")
    restart.die()
    nesting.nest(restart.scene.world.services, "contractors", "tellers", actor=ACTOR)
    assert restart.come_back().cutter.cut == [1]


def test_a_member_of_a_changed_group_is_compared_by_its_ids(restart: Restart) -> None:
    """By the rules alone she would have been in the outer group before as well."""
    restart.connect("alice")
    directory.create_group(restart.scene.world.services, "customers", actor=ACTOR)
    nesting.nest(restart.scene.world.services, "customers", "tellers", actor=ACTOR)
    restart.scene.follow()
    assert restart.scene.left() == [1]
    restart.die()
    nesting.unnest(restart.scene.world.services, "customers", "tellers", actor=ACTOR)
    assert restart.come_back().cutter.cut == [1]


def test_those_that_a_change_names_are_judged_first(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspended person does not wait until thousands of others are judged."""
    monkeypatch.setattr("doorward.gateway.following.reassessing.JUDGED_AT_ONCE", 1)
    restart.join_group("carol", "tellers")
    restart.connect("alice", "bob", "carol")
    restart.die()
    directory.suspend(restart.scene.world.services, "carol", actor=ACTOR)
    scene = restart.scene = scene_of(restart.scene.world, restart.journal)
    real, left = scene.decider.reassess_all, list[list[int]]()

    def reassess(*given: Any) -> Any:
        left.append(scene.left())
        return real(*given)

    monkeypatch.setattr(scene.decider, "reassess_all", reassess)
    scene.follower.catch_up()
    assert left[:3] == [[1, 2, 3], [1, 2], [1, 2]]


def test_a_change_while_they_are_judged_is_not_missed(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judgement that already sees the loss must not count as the state before it."""
    monkeypatch.setattr("doorward.gateway.following.reassessing.JUDGED_AT_ONCE", 1)
    for name in ("alice", "bob"):
        restart.join_group(name, "customers")
    restart.connect("alice", "bob")
    restart.die()
    real, done = restart.scene.decider.reassess_all, list[int]()

    def reassess(*given: Any) -> Any:
        done.append(1)
        if len(done) == 2:
            restart.leave_group("bob", "customers")
            restart.leave_group("alice", "customers")
        return real(*given)

    scene = restart.scene = scene_of(restart.scene.world, restart.journal)
    real = scene.decider.reassess_all
    monkeypatch.setattr(scene.decider, "reassess_all", reassess)
    scene.follower.catch_up()
    assert sorted(scene.cutter.cut) == [1, 2]


# what follows


def test_a_later_loss_ends_them_as_any_other(restart: Restart) -> None:
    """They are in every index, with permissions that can be compared."""
    restart.connect("alice", "bob")
    restart.die()
    scene = restart.come_back()
    scene.follow()
    scene.apply(TWO_GROUPS.replace(*WIDER))
    scene.follow()
    assert scene.cutter.cut == []
    suspended(restart)
    scene.follow()
    assert scene.cutter.cut == [1]
    scene.apply(TWO_GROUPS)
    scene.follow()
    assert 2 in scene.cutter.cut


def test_two_restarts(restart: Restart) -> None:
    """What the first one restored, the second one can compare."""
    restart.connect("alice")
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().left() == [1]
    restart.die()
    assert restart.come_back().left() == [1]
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_changes_are_acted_on_as_if_it_had_been_alive(restart: Restart) -> None:
    """A policy is published by its own number; a person who wants to show another certificate is cut."""
    restart.connect("alice", "bob")
    one = restart.scene.live(2)
    restart.die()
    seq = restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    choice = CertificateChoice.of(one.application_id, one.sha256, one.source_address)
    CertificateChoiceRecorder(restart.scene.world.services).record(choice, good=True)
    scene = restart.come_back()
    assert scene.published == [seq]
    assert scene.left() == [1]
    assert scene.cuts() == ["another-certificate"]
