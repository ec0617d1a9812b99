"""The recorder of rounds: one block, and one bad event does not cost the others theirs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.repeated_leaf import RepeatedLeaf
from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.authorizer.admission_recorder import AdmissionRecorder, RepeatedAdmission
from tests.support.ports import NOON
from tests.support.world import World, empty_world
from tests.unit.audit.test_repeated_leaf import template

LEAF: RepeatedLeaf = template()


def admission(event_id: str, connection: str = "7") -> RepeatedAdmission:
    """One admission."""
    return RepeatedAdmission(LEAF, event_id, connection, NOON + timedelta(hours=1), "192.0.2.7")


def record(world: World, *admissions: RepeatedAdmission) -> list[DoorwardError | None]:
    """Record them."""
    return AdmissionRecorder(world.services).record(admissions, NOON)


def test_all_are_durable_together() -> None:
    """Each admission is an event with its own values; the ids are new."""
    world = empty_world()
    ids = AdmissionRecorder(world.services).new_ids(2)
    assert record(world, admission(ids[0], "1"), admission(ids[1], "2")) == [None, None]
    assert [(one.id, one.data["connection"]) for one in world.work.events] == [(ids[0], "1"), (ids[1], "2")]
    assert {one.at for one in world.work.events} == {NOON}


def test_one_bad_event_costs_the_others_nothing() -> None:
    """An event that cannot be rendered is an error of its own admission; the others are durable."""
    world = empty_world()
    first, second, third = record(world, admission("evt_a"), admission("evt_b", 'a"b'), admission("evt_c"))
    assert (first, third) == (None, None)
    assert second is not None
    assert second.code == "event-malformed"
    assert [one.id for one in world.work.events] == ["evt_a", "evt_c"]


def test_nothing_is_written_for_nothing() -> None:
    """If no event can be rendered, the database is left alone."""
    world = empty_world()
    world.work.broken = Unavailable("store-busy", "locked")
    assert record(world) == []
    assert record(world, admission("evt_b", "")) != [None]
    with pytest.raises(Unavailable):
        record(world, admission("evt_a"))
