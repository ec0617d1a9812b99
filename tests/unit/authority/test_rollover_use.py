"""Progress of a rollover by what doors and agents have seen: replaced, in use, never seen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.authority.rollover import leaving, moving, viewing
from doorward.authority.rollover.table import RolloverStep
from doorward.stores.fact_protocols import ReportedFacts, Sighting
from tests.support.ports import NOON
from tests.support.world import OPERATOR, found_world
from tests.unit.authority.test_rollover import draining, prepared, renew


@pytest.fixture
def world():
    """A founded authority."""
    return found_world()


def test_the_view_says_when_a_missing_certificate_was_last_seen(world):
    """By the id of the certificate; one that was never seen is left out."""
    alice, bob = world.issue("alice"), world.issue("bob")
    draining(world)
    sighting = Sighting(certificate_id=alice.record.id, at=NOON, application_id="app_x")
    with world.work.change() as stores:
        stores.facts.see([sighting], again_after=timedelta(0))
    view = viewing.view_rollover(world.services)
    assert {one.id for one in view.progress.missing} == {alice.record.id, bob.record.id}
    assert view.use.last_used == {alice.record.id: NOON}


@pytest.mark.parametrize("by", ["door", "agent"])
def test_a_successor_counts_as_used_when_it_was_seen(world, by):
    """100 % is issued, not seen: until a door or an agent has seen a successor of the line, its name is in the list of warnings."""
    alice = world.issue("sensor-1")
    draining(world, timedelta(0))
    second = renew(world, alice)
    view = viewing.view_rollover(world.services)
    assert (view.progress.percent, view.use.in_use) == (100, 0)
    assert [one.id for one in view.use.unseen] == [second.record.id]
    preview = viewing.preview(world.services, RolloverStep.RETIRE)
    assert any("never seen in use" in one and "sensor-1" in one for one in preview.sentences)
    with world.work.change() as stores:
        if by == "door":
            sighting = Sighting(certificate_id=second.record.id, at=NOON, application_id="app_x")
            stores.facts.see([sighting], again_after=timedelta(0))
        else:
            stores.facts.report(second.record.id, ReportedFacts(), NOON)
    view = viewing.view_rollover(world.services)
    assert (view.use.in_use, view.use.unseen) == (1, ())
    assert not any(
        "never seen" in one for one in viewing.preview(world.services, RolloverStep.RETIRE).sentences
    )
    assert leaving.retire(world.services, actor=OPERATOR).notes == ()


def test_drain_and_retire_warn_of_what_was_never_seen(world):
    """The answers name certificates that may not come, and holders that may have the old certificate only."""
    alice = world.issue("alice")
    prepared(world)
    moving.activate(world.services, actor=OPERATOR)
    (idle,) = moving.drain(world.services, actor=OPERATOR, window=timedelta(0)).notes
    assert "1 of these certificates were never seen in use" in idle
    renew(world, alice)
    (unseen,) = leaving.retire(world.services, actor=OPERATOR).notes
    assert "1 successors were never seen in use" in unseen
