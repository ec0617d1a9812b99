"""A process that dies in the middle of a step of a rollover, at each of its transactions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.rollover.table import FACTS, Side
from doorward.core.entities import Outcome
from doorward.core.errors import DoorwardError, NotFound, RequestRefused
from doorward.stores.authority_protocols import RolloverState
from tests.support.refusals import refused
from tests.support.world import OPERATOR, found_world
from tests.unit.authority.test_rollover import issuers, renew, rollover_of


@pytest.fixture
def world():
    """A founded authority."""
    return found_world()


class Crash(Exception):
    """The process dies here."""


class CrashingWork:
    """A unit of work of which the n-th change dies, before or after its commit."""

    def __init__(self, work, number, *, after):
        self._work, self._left, self._after = work, number, after
        self.used = 0

    def __getattr__(self, name):
        return getattr(self._work, name)

    def change(self, **more):
        @contextmanager
        def opened():
            self.used += 1
            dies = self.used == self._left
            with self._work.change(**more) as stores:
                yield stores
                if dies and not self._after:
                    raise Crash
            if dies:
                raise Crash

        return opened()


def step_of(name):
    """Return a step by its word, as the command makes it."""
    return {
        "prepare": lambda services: preparing.prepare(services, actor=OPERATOR),
        "activate": lambda services: moving.activate(services, actor=OPERATOR),
        "drain": lambda services: moving.drain(services, actor=OPERATOR),
        "retire": lambda services: (
            leaving.retire(services, actor=OPERATOR, abandon_missing=True),
            leaving.finish_leaving(services, actor="system"),
        ),
    }[name]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["prepare", "activate", "drain", "retire"])
def test_a_crash_leaves_the_state_before_or_after(world, name, after):
    """A process that dies at any transaction of a step leaves a whole state; the same command then completes it."""
    alice, bob = world.issue("alice"), world.issue("bob")
    order = ["prepare", "activate", "drain", "retire"]
    for earlier in order[: order.index(name)]:
        step_of(earlier)(world.services)
    if name == "retire":
        renew(world, alice)
    for number in range(1, 20):
        services = replace(world.services, work=CrashingWork(world.work, number, after=after))
        try:
            step_of(name)(services)
        except Crash:
            pass
        except DoorwardError as error:
            assert name == "retire" and error.code == "rollover-none"  # noqa: PT017, PT018
            break
        else:
            break
        going = rollover_of(world)
        current, trusted = issuers(world)
        assert current in trusted
        if going is not None:
            facts = FACTS[going.state]
            assert set(trusted) == {
                {Side.OLD: going.old_id, Side.NEW: going.new_id}[one] for one in facts.trusted
            }
        assert world.issue("carol").record.authority_id == current
        outcome = world.decide(bob.der).verdict.outcome
        assert (outcome is Outcome.GOOD) == (world.certificate(bob).authority_id in trusted)
    else:
        pytest.fail("the step never ends")
    with world.work.read() as stores:
        (found,) = stores.rollovers.list()
    assert (
        found.state
        is {
            "prepare": RolloverState.PREPARED,
            "activate": RolloverState.ACTIVE,
            "drain": RolloverState.DRAINING,
            "retire": RolloverState.RETIRED,
        }[name]
    )


def test_a_database_of_an_earlier_phase_is_restored(world):
    """The key store is newer than the database: no phase does harm, what needs a lost key is refused, and retire ends."""
    world.issue("alice")
    before = world.work.state.copy()
    step_of("prepare")(world.services)
    step_of("activate")(world.services)
    step_of("drain")(world.services)
    draining = world.work.state.copy()
    step_of("retire")(world.services)
    assert "issuing-1" not in world.keys.names()

    world.work.state = draining  # the old authority is trusted again, and its key is gone
    with refused(RequestRefused, "rollover-key-missing"):
        moving.undo(world.services, actor=OPERATOR)
    assert world.issue("alice").record.authority_id == rollover_of(world).new_id
    step_of("retire")(world.services)
    assert rollover_of(world) is None
    assert issuers(world)[1] == [issuers(world)[0]]

    world.work.state = before  # of before the rollover: the old authority cannot sign
    with refused(NotFound, "key-unknown"):
        world.issue("alice")
    made = preparing.prepare(
        world.services, actor=OPERATOR
    ).value  # a new key, by a name that no key ever had
    assert made.key_name == "issuing-3"
    moving.activate(world.services, actor=OPERATOR)
    assert world.issue("alice").record.authority_id == made.new_id
