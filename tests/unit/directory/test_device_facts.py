"""Facts that agents report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.errors import Unavailable
from doorward.directory.device_facts import record_facts
from doorward.stores.fact_protocols import CertificateFacts, ReportedFacts
from tests.support.world import World, found_world

FACTS = ReportedFacts(host_name="pump.example", agent_version="1.0")


@pytest.fixture
def world() -> World:
    """A founded authority."""
    return found_world()


def known(world: World, certificate_id: str) -> CertificateFacts | None:
    """Return what is stored."""
    with world.work.read() as stores:
        return stores.facts.of([certificate_id]).get(certificate_id)


def test_facts_are_stored_without_a_change_or_an_event(world: World) -> None:
    """They decide nothing, so no gateway hears of them."""
    held = world.issue("sensor-1")
    before = (world.head(), len(world.work.events))
    record_facts(world.services, held.record.id, FACTS)
    found = known(world, held.record.id)
    assert found is not None
    assert (found.reported, found.reported_at) == (FACTS, world.clock.now())
    assert (world.head(), len(world.work.events)) == before


def test_the_same_facts_are_written_once_an_hour(world: World) -> None:
    """Other facts are written at once."""
    held = world.issue("sensor-1")
    at = world.clock.now()
    record_facts(world.services, held.record.id, FACTS)
    world.clock.turn(minutes=59)
    record_facts(world.services, held.record.id, FACTS)
    assert known(world, held.record.id).reported_at == at  # type: ignore[union-attr]
    changed = replace(FACTS, system="Linux")
    record_facts(world.services, held.record.id, changed)
    assert known(world, held.record.id).reported == changed  # type: ignore[union-attr]
    world.clock.turn(hours=1)
    record_facts(world.services, held.record.id, changed)
    assert known(world, held.record.id).reported_at == world.clock.now()  # type: ignore[union-attr]


def test_without_room_they_are_dropped(world: World) -> None:
    """The space for withdrawals is not used for them, and the agent gets its answer."""
    held = world.issue("sensor-1")
    world.work.full = True
    record_facts(world.services, held.record.id, FACTS)
    assert known(world, held.record.id) is None


def test_if_nothing_can_be_read_the_report_fails(world: World) -> None:
    """As every use case."""
    world.work.broken = Unavailable("store-busy", "busy")
    with pytest.raises(Unavailable):
        record_facts(world.services, "crt_x", FACTS)
