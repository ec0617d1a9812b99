"""Rounds and withdrawals: no admission outlives a change, whenever it comes, and no neighbour suffers from it.

Certificates that are known, and those that are judged within the round, are held to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from doorward.access import policies
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import IntegrityError, Unavailable
from doorward.directory import nesting, removal, session_ending
from doorward.directory import principals as directory
from doorward.gateway.authorizer.calls import CheckResult
from doorward.stores.policy_snapshot import PolicySnapshot
from doorward.stores.records import ChangeKind, ChangeRecord
from tests.support.world import DOCUMENT, OPERATOR, Held, World
from tests.unit.gateway.authorizer.conftest import Place
from tests.unit.gateway.authorizer.rounds_place import RoundPlace, decision_of
from tests.unit.gateway.following.conftest import Scene, scene_of

Change = Callable[[World, Held], object]


def _revoke(world: World, held: Held) -> None:
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)


def _hold(world: World, held: Held) -> None:
    revocation.hold(world.services, held.record.id, actor=OPERATOR)


def _suspend(world: World, _: Held) -> None:
    directory.suspend(world.services, "alice", actor=OPERATOR)


def _remove(world: World, _: Held) -> None:
    removal.remove(world.services, "alice", actor=OPERATOR)


def _leave_group(world: World, _: Held) -> None:
    directory.remove_member(world.services, "tellers", "alice", actor=OPERATOR)


def _edit_rule(world: World, _: Held) -> None:
    text = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [contractors]}")
    policies.apply_document(world.services, text, file="test.yaml", actor=OPERATOR)


def _remove_application(world: World, _: Held) -> None:
    text = DOCUMENT[: DOCUMENT.index("  payments:")] + DOCUMENT[DOCUMENT.index("  sensors:") :]
    policies.apply_document(world.services, text, file="test.yaml", actor=OPERATOR)


def _retire_authority(world: World, held: Held) -> None:
    now = world.clock.now()
    with world.work.change() as stores:
        stores.authorities.retire(held.record.authority_id, now, RevocationReason.CESSATION_OF_OPERATION)
        stores.changes.note(ChangeKind.AUTHORITY, held.record.authority_id, now)


WITHDRAWALS: Sequence[Change] = (
    _revoke,
    _hold,
    _suspend,
    _remove,
    _leave_group,
    _edit_rule,
    _remove_application,
    _retire_authority,
)
every_withdrawal = pytest.mark.parametrize("withdraw", WITHDRAWALS, ids=lambda one: one.__name__[1:])


class Door:
    """Rounds, a real follower beside them, and a gate that Envoy opens with each change of the policy."""

    def __init__(self, place: Place, *, is_known: bool = True) -> None:
        self.scene: Scene = scene_of(place.world)
        place.connections = self.scene.connections
        self.rounds = RoundPlace(place)
        self.world = place.world
        self.scene.follow()
        self.alice, self.bob = self.world.issue("alice"), self.world.issue("bob")
        if is_known:
            self.rounds.learn(self.alice)
            self.rounds.learn(self.bob)
        self.scene.follow()

    def follow(self) -> None:
        """The follower acts on the change, and Envoy enforces the policy."""
        self.scene.follow()
        self.rounds.inner.in_force()

    def ask_both(self, first: Callable[[], object] = lambda: None) -> dict[int, CheckResult]:
        """Connections of alice (1, 3) and of bob (2, 4) in one round; `first` happens before it."""
        answers: dict[int, CheckResult] = {}
        holders = {1: self.alice, 2: self.bob, 3: self.alice, 4: self.bob}
        calls = [self.rounds.call(held, number, answers) for number, held in holders.items()]
        first()
        self.rounds.rounds.answer_all(calls)
        assert answers.keys() == holders.keys()
        return dict(sorted(answers.items()))


@pytest.fixture
def door(place: Place) -> Door:
    """Alice's and bob's certificates are known."""
    return Door(place)


@pytest.fixture(params=[True, False], ids=["known", "new"])
def any_door(place: Place, request: pytest.FixtureRequest) -> Door:
    """Alice's and bob's certificates are known, or are judged in the round."""
    return Door(place, is_known=request.param)


def is_out(door: Door, answers: dict[int, CheckResult]) -> None:
    """Alice is refused, and nothing of her is in the registry."""
    assert [answers[number].facts for number in (1, 3)] == [None, None]
    assert {1, 3}.isdisjoint(one.cookie for one in door.rounds.connections.all())
    assert not door.rounds.connections.pending()


@every_withdrawal
def test_a_withdrawal_before_the_round(any_door: Door, withdraw: Change) -> None:
    """A change that was committed before the call came is seen, also if the follower has not read it yet."""
    is_out(
        any_door,
        any_door.ask_both(
            lambda: (withdraw(any_door.world, any_door.alice), any_door.rounds.inner.in_force())
        ),
    )


@every_withdrawal
@pytest.mark.parametrize("moment", ["before_begin", "before_confirm"])
def test_a_withdrawal_while_the_round_looks_up(any_door: Door, withdraw: Change, moment: str) -> None:
    """A change that is committed after the first look-up, and before the sequence is read, is seen."""
    getattr(any_door.rounds.hooks, moment).append(
        lambda: (withdraw(any_door.world, any_door.alice), any_door.rounds.inner.in_force())
    )
    is_out(any_door, any_door.ask_both())


@every_withdrawal
def test_a_withdrawal_between_look_up_and_admission(any_door: Door, withdraw: Change) -> None:
    """If the follower notes the change before the admission, the connection is judged again."""
    any_door.rounds.hooks.before_admit.append(
        lambda: (withdraw(any_door.world, any_door.alice), any_door.follow())
    )
    is_out(any_door, any_door.ask_both())


@every_withdrawal
@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_withdrawal_between_admission_and_answer(any_door: Door, withdraw: Change, moment: str) -> None:
    """If the follower finds the connection live, it is ended, and the answer refuses."""
    getattr(any_door.rounds.hooks, moment).append(
        lambda: (withdraw(any_door.world, any_door.alice), any_door.follow())
    )
    is_out(any_door, any_door.ask_both())


@pytest.mark.parametrize("withdraw", [one for one in WITHDRAWALS if one is not _remove_application])
def test_a_withdrawal_that_the_follower_reads_after_the_answer(any_door: Door, withdraw: Change) -> None:
    """A change that is committed after the sequence was read finds the connection in the registry."""
    any_door.rounds.hooks.before_admit.append(lambda: withdraw(any_door.world, any_door.alice))
    answers = any_door.ask_both()
    assert answers[1].facts is not None
    any_door.follow()
    assert {1, 3}.isdisjoint(one.cookie for one in any_door.rounds.connections.all())


@pytest.mark.parametrize("withdraw", [_revoke, _hold, _suspend, _leave_group])
@pytest.mark.parametrize(
    "moment", ["before_begin", "before_confirm", "before_admit", "before_commit", "after_commit"]
)
def test_a_withdrawal_ends_no_other_connection(any_door: Door, withdraw: Change, moment: str) -> None:
    """Bob's connections of the same round are admitted, whenever alice loses hers."""
    getattr(any_door.rounds.hooks, moment).append(
        lambda: (withdraw(any_door.world, any_door.alice), any_door.follow())
    )
    answers = any_door.ask_both()
    assert answers[2].facts is not None
    assert answers[4].facts is not None
    assert sorted(one.cookie for one in any_door.rounds.connections.all()) == [2, 4]


def test_a_change_of_another_person_makes_no_judgement_necessary(door: Door) -> None:
    """What a change does not name stays known."""
    directory.suspend(door.world.services, "carol", actor=OPERATOR)
    door.world.issue("ledger")
    answers = door.ask_both()
    assert all(one.facts is not None for one in answers.values())
    assert door.rounds.judged == []


def test_a_released_certificate_is_admitted_again(door: Door) -> None:
    """After a hold and a release the certificate is judged once more, and is known again."""
    _hold(door.world, door.alice)
    assert "certificate-on-hold" in door.rounds.ask(door.alice, 5)[5].reasons
    revocation.release(door.world.services, door.alice.record.id, actor=OPERATOR)
    assert door.rounds.ask(door.alice, 6)[6].facts is not None
    assert door.rounds.ask(door.alice, 7)[7].facts is not None
    assert len(door.rounds.judged) == 1
    assert len(door.rounds.judged_together) == 1


def test_a_sign_out_raises_the_epoch_of_the_next_connection(door: Door) -> None:
    """A known admission does not give the epoch from before a sign-out."""
    who = door.world.principal("alice").id
    now = door.world.clock.now()
    with door.world.work.change() as stores:
        session_ending.end_sessions(door.world.services, stores, who, reason="signed-out", actor=who, now=now)
        stores.changes.note(ChangeKind.PRINCIPAL, who, now)
    assert door.rounds.ask(door.alice, 5)[5].facts is not None
    live = door.rounds.connections.get(5)
    assert live is not None
    assert live.sessions.epoch == "0.1.0"


def test_a_change_of_nested_groups_forgets_every_admission(door: Door) -> None:
    """A group change names no principal: everything is judged again, by the new groups."""
    nesting.nest(door.world.services, "contractors", "tellers", actor=OPERATOR)
    door.follow()
    assert door.rounds.ask(door.alice, 5)[5].facts is not None
    assert len(door.rounds.judged) == 1
    live = door.rounds.connections.get(5)
    assert live is not None
    assert live.subject is not None
    assert "contractors" in live.subject.principal.groups


def test_an_edited_rule_waits_for_envoy_alone(door: Door) -> None:
    """If Envoy does not enforce the policy of a known admission, the call leaves the round."""
    snapshot: PolicySnapshot = door.world.snapshot()
    door.rounds.inner.gate.begin_change(replace(snapshot, ids={}))
    answers = door.ask_both()
    assert [one.reasons for one in answers.values()] == [("knowledge-stale",)] * 4
    assert len(door.rounds.alone.calls) == 4
    assert len(door.rounds.connections) == 0


# when something fails


def test_a_database_that_was_put_back_is_seen(door: Door) -> None:
    """If the last change is another one than before, nothing that is known is used."""
    door.ask_both()
    door.rounds.inner.decider.is_prepared = False
    state = door.world.work.state
    last = max(state.changes)
    state.changes[last] = replace(state.changes[last], subject="crt_other")
    answers = door.ask_both()
    assert len(door.rounds.alone.calls) == 4
    assert all(one.facts is not None for one in answers.values())


def test_a_database_that_cannot_be_read_refuses(door: Door) -> None:
    """Without the change sequence nothing is repeated, and nothing stays in the registry."""
    door.rounds.hooks.before_confirm.append(
        lambda: setattr(door.world.work, "broken", Unavailable("store-busy", "the database is locked"))
    )
    answers = door.ask_both()
    door.world.work.broken = None
    assert [one.reasons for one in answers.values()] == [("store-busy",)] * 4
    assert len(door.rounds.connections) == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("store-full", "the disk is full"), "store-full"),
        (IntegrityError("store-damaged", "the database is damaged"), "store-damaged"),
        (RuntimeError("a bug"), "internal-error"),
    ],
)
def test_without_a_durable_decision_nothing_is_answered(door: Door, error: Exception, reason: str) -> None:
    """If the block cannot be written, each connection of the round is refused and leaves the registry."""

    def fail() -> None:
        raise error

    door.rounds.hooks.before_commit.append(fail)
    answers = door.ask_both()
    assert [one.reasons for one in answers.values()] == [(reason,)] * 4
    assert len(door.rounds.connections) == 0
    assert all(one.facts is not None for one in door.ask_both().values())


def test_a_call_that_leaves_a_round_is_answered_also_if_the_round_fails(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the next round, in which it would be admitted after it was refused."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    door.rounds.hooks.before_admit.append(lambda: (_revoke(door.world, door.alice), door.follow()))
    monkeypatch.setattr(door.rounds.connections, "get_all", fail)
    monkeypatch.setattr(door.rounds.authorizer, "refuse_for", fail)
    answers: dict[int, CheckResult] = {}
    calls = [door.rounds.call(held, number, answers) for number, held in ((1, door.alice), (2, door.bob))]
    with pytest.raises(RuntimeError):  # the server's loop answers what was not answered
        door.rounds.rounds.answer_all(calls)
    assert "certificate-revoked" in answers[1].reasons
    assert 2 not in answers


def test_stale_knowledge_refuses(door: Door) -> None:
    """A gateway that cannot confirm the sequence admits nothing, however well it knows the certificate."""
    door.rounds.inner.is_fresh = False
    answers = door.ask_both()
    assert [one.reasons for one in answers.values()] == [("knowledge-stale",)] * 4
    assert len(door.rounds.connections) == 0


def test_busy_threads_leave_no_trace(door: Door) -> None:
    """A call that leaves a round for threads that are too busy is refused, and its connection is not pending for ever."""
    door.rounds.alone.is_busy = True
    door.rounds.hooks.before_admit.append(lambda: (_revoke(door.world, door.alice), door.follow()))
    answers = door.ask_both()
    assert answers[1].reasons == ("authorizer-busy",)
    assert not door.rounds.connections.pending()
    assert answers[2].facts is not None


def test_a_judgement_again_counts_once_for_the_rate(door: Door) -> None:
    """A connection that is judged a second time because of a change counts once for its certificate."""
    limiter = door.rounds.inner.rate_limiter
    for _ in range(1000 - 1 - 2):  # one connection was counted by `learn`, and two are left
        assert limiter.allows(door.bob.record.id)
    door.rounds.hooks.before_admit.append(
        lambda: (
            directory.set_display_name(door.world.services, "bob", "Bob", actor=OPERATOR),
            _touch(door, "bob"),
            door.follow(),
        )
    )
    answers = door.ask_both()
    assert len(door.rounds.judged) == 2
    assert answers[2].facts is not None
    assert answers[4].facts is not None
    assert door.rounds.ask(door.bob, 5)[5].reasons == ("certificate-rate-exceeded",)


def _touch(door: Door, name: str) -> None:
    with door.world.work.change() as stores:
        stores.changes.note(ChangeKind.PRINCIPAL, door.world.principal(name).id, door.world.clock.now())


def test_the_answer_names_its_own_decision(door: Door) -> None:
    """Each connection of a round has a decision of its own in the registry, the record and the answer."""
    answers = door.ask_both()
    ids = [decision_of(one) for one in answers.values()]
    assert len(set(ids)) == 4
    for number, decision in zip(answers, ids, strict=True):
        live = door.rounds.connections.get(number)
        assert live is not None
        assert live.decision == decision


def test_many_changes_at_once_forget_everything(door: Door) -> None:
    """If more changes came than are read at once, every certificate is judged again."""
    with door.world.work.change() as stores:
        for _ in range(1002):
            stores.changes.note(ChangeKind.CERTIFICATE, "crt_other", door.world.clock.now())
    head: ChangeRecord
    with door.world.work.read() as stores:
        (head,) = stores.changes.since(stores.changes.head() - 1)
    answers = door.ask_both()
    assert all(one.facts is not None for one in answers.values())
    assert len(door.rounds.judged) == 4
    assert door.rounds.confirm() == head.seq
