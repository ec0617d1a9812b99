"""Known admissions and judgements of rounds against single judgements: after any sequence of changes all give the same facts.

It finds a fact that a judgement reads and that changes without a number in the change sequence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import product

import pytest

from doorward.access import policies
from doorward.authority import revocation
from doorward.authority.rollover import moving, preparing
from doorward.core.certificate import RevocationReason
from doorward.core.errors import DoorwardError
from doorward.directory import groups, nesting, removal
from doorward.directory import principals as directory
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.authorizer.calls import CheckResult
from tests.support.world import DOCUMENT, OPERATOR, Held
from tests.unit.gateway.authorizer.conftest import Place
from tests.unit.gateway.authorizer.rounds_place import application
from tests.unit.gateway.authorizer.test_rounds_changes import Door

STEPS = 100
DOCUMENTS: Sequence[str] = (
    DOCUMENT,
    DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [contractors]}"),
    DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers], source: [198.51.100.0/24]}"),
    DOCUMENT.replace("allow: {groups: [sensors]}", "allow: {groups: [sensors, staff]}"),
    DOCUMENT.replace("127.0.0.1:9000", "127.0.0.1:9009"),
    DOCUMENT[: DOCUMENT.index("  sensors:")],
)
NAMES, GROUPS = ("alice", "bob", "sensor-1"), ("tellers", "contractors", "sensors", "staff")
_OWN = (ConnectionFact.DECISION.value, ConnectionFact.ASSERTION.value)


class Walk:
    """A door, and a random change of its world for each step."""

    def __init__(self, place: Place, seed: int) -> None:
        self.dice = random.Random(seed)
        self.door = Door(place)
        self.held: list[Held] = [self.door.alice, self.door.bob, self.door.world.issue("sensor-1")]
        self.repeated = self.together = 0
        self._number = 10_000

    def change(self, *, is_last: bool) -> None:
        """Make a change, in the last steps also one for good; one that is refused changes nothing."""
        with suppress(DoorwardError):
            self.dice.choice(self._endings() if is_last else self._changes())()
        if self.dice.random() < 0.3:
            self._mend()
        if self.dice.random() < 0.7:  # a judgement must not depend on what the follower has read
            self.door.scene.follow()
        self.door.rounds.inner.in_force()

    def compare(self) -> None:
        """Ask about each certificate at each application, in a round and alone."""
        rounds = self.door.rounds
        for held, name in product(self.held, self.door.world.snapshot().ids):
            where = application(rounds, name)
            before, together = len(rounds.judged), len(rounds.judged_together)
            by_round = rounds.ask(held, self._next(), **where)[self._number]
            if len(rounds.judged) == before and by_round.facts is not None:
                if len(rounds.judged_together) == together:
                    self.repeated += 1
                else:
                    self.together += 1
            call = rounds.call(held, self._next(), {}, **where)
            judged = rounds.authorizer.check(call.certificate, call.metadata)
            assert _facts(by_round) == _facts(judged), (name, by_round.reasons, judged.reasons)
            rounds.connections.forget_all((self._number - 1, self._number))

    def _mend(self) -> None:
        """Give back what was taken for a while: most certificates should be known at each change."""
        services = self.door.world.services
        with suppress(DoorwardError):
            policies.apply_document(services, DOCUMENT, file="walk.yaml", actor=OPERATOR)
        for held, name in product(self.held, NAMES):
            with suppress(DoorwardError):
                revocation.release(services, held.record.id, actor=OPERATOR)
            with suppress(DoorwardError):
                directory.resume(services, name, actor=OPERATOR)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _changes(self) -> Sequence[Callable[[], object]]:
        world, dice = self.door.world, self.dice
        services, clock = world.services, world.clock
        name, group, other = dice.choice(NAMES), dice.choice(GROUPS), dice.choice(GROUPS)
        crt = dice.choice(self.held).record.id
        minutes = timedelta(minutes=dice.choice((1, 9, 11, 60)))
        return [
            lambda: directory.add_member(services, group, name, actor=OPERATOR),
            lambda: directory.add_member(services, group, name, actor=OPERATOR),
            lambda: directory.remove_member(services, group, name, actor=OPERATOR),
            lambda: directory.suspend(services, name, actor=OPERATOR),
            lambda: directory.set_display_name(services, name, f"the {group}", actor=OPERATOR),
            lambda: nesting.nest(services, group, other, actor=OPERATOR),
            lambda: nesting.nest(services, group, other, actor=OPERATOR),
            lambda: nesting.unnest(services, group, other, actor=OPERATOR),
            lambda: groups.remove_group(services, other, actor=OPERATOR),
            lambda: revocation.hold(services, crt, actor=OPERATOR),
            lambda: policies.apply_document(
                services, dice.choice(DOCUMENTS), file="walk.yaml", actor=OPERATOR
            ),
            lambda: preparing.prepare(services, actor=OPERATOR),
            lambda: moving.activate(services, actor=OPERATOR, ignore_away=True),
            lambda: moving.undo(services, actor=OPERATOR),
            lambda: clock.turn(minutes=minutes.total_seconds() / 60),
            lambda: setattr(clock, "present", clock.present - minutes),
        ]

    def _endings(self) -> Sequence[Callable[[], object]]:
        world, dice, services = self.door.world, self.dice, self.door.world.services
        name, crt = dice.choice(NAMES), dice.choice(self.held).record.id
        return [
            lambda: revocation.revoke(services, crt, RevocationReason.KEY_COMPROMISE, actor=OPERATOR),
            lambda: removal.remove(services, name, actor=OPERATOR),
            lambda: removal.rename(services, name, f"{name}-2", actor=OPERATOR),
            lambda: self.held.append(world.issue(name)),
        ]


def _facts(answer: CheckResult) -> Mapping[str, str] | None:
    """Return what both answers must share."""
    if answer.facts is None:
        return None
    return {name: value for name, value in answer.facts.items() if name not in _OWN}


@pytest.mark.parametrize("seed", range(6))
def test_a_known_admission_is_what_a_judgement_would_say(place: Place, seed: int) -> None:
    """Whatever changed since, and whatever the clock says, a round admits with the facts of a judgement now, or refuses as it does."""
    walk = Walk(place, seed)
    for step in range(STEPS):
        walk.change(is_last=step >= STEPS - 8)
        walk.compare()
    assert walk.repeated
    assert walk.together
