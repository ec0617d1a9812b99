"""The inventory of principals."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory import principals as directory
from doorward.directory.principal_inventory import (
    InventoryEntry,
    InventoryOrder,
    find_facts,
    list_inventory,
)
from doorward.stores.fact_protocols import ReportedFacts, Sighting
from tests.support.world import OPERATOR, Held, World, found_world

PERSON = PrincipalKind.PERSON
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """A founded authority with alice, bob and carol."""
    return found_world()


def see(world: World, held: Held, application_id: str) -> None:
    """Note that a certificate is seen now."""
    seen = Sighting(certificate_id=held.record.id, at=world.clock.now(), application_id=application_id)
    with world.work.change() as stores:
        stores.facts.see([seen], again_after=timedelta(minutes=5))


def names(found: tuple[list[InventoryEntry], bool]) -> list[str]:
    """Return the names of a list."""
    return [one.principal.name for one in found[0]]


def test_a_list_says_when_and_where(world: World) -> None:
    """The last time at a door, the application by its name, the end of the certificate, the agent."""
    held, bob = world.issue("alice"), world.issue("bob")
    see(world, held, world.application_id("payments"))
    see(world, bob, PORTAL_APPLICATION)
    facts = ReportedFacts(host_name="laptop", agent_version="1.0")
    with world.work.change() as stores:
        stores.facts.report(held.record.id, facts, world.clock.now())
    (alice, with_portal, carol), more = list_inventory(world.services, PERSON)
    assert not more
    assert alice.principal == world.principal("alice")
    assert (alice.last_seen, alice.where) == (world.clock.now(), "payments")
    assert (alice.certificate_until, alice.reported) == (held.record.not_after, facts)
    assert alice.reported_at == world.clock.now()
    assert with_portal.where == "portal"
    assert (carol.last_seen, carol.where, carol.certificate_until, carol.reported_at) == (
        None,
        "",
        None,
        None,
    )


def test_an_application_that_is_gone_is_named_by_its_id(world: World) -> None:
    """Rather than by nothing."""
    see(world, world.issue("alice"), "app_gone")
    assert list_inventory(world.services, PERSON)[0][0].where == "app_gone"


def test_stale_ones_were_not_seen_for_so_long_or_never(world: World) -> None:
    """Exactly so long ago is not stale yet."""
    see(world, world.issue("alice"), "app_x")
    world.clock.turn(seconds=DAY.total_seconds())
    see(world, world.issue("bob"), "app_x")
    world.clock.turn(seconds=DAY.total_seconds())
    assert names(list_inventory(world.services, PERSON, stale=2 * DAY)) == ["carol"]
    assert names(list_inventory(world.services, PERSON, stale=1.5 * DAY)) == ["alice", "carol"]
    assert names(list_inventory(world.services, PERSON, stale=timedelta.max)) == ["carol"]


def test_those_that_never_reported(world: World) -> None:
    """An agent reports, a browser does not."""
    held = world.issue("bob")
    with world.work.change() as stores:
        stores.facts.report(held.record.id, ReportedFacts(), world.clock.now())
    assert names(list_inventory(world.services, PERSON, not_reported=True)) == ["alice", "carol"]


def test_orders_and_pages(world: World) -> None:
    """By name, by the longest unseen, by the earliest end; what is unknown comes first."""
    bob = world.issue("bob")
    see(world, bob, "app_x")
    world.clock.turn(seconds=DAY.total_seconds())
    see(world, world.issue("alice"), "app_x")
    for order, expected in (
        (InventoryOrder.NAME, ["alice", "bob", "carol"]),
        (InventoryOrder.LAST_SEEN, ["carol", "bob", "alice"]),
        (InventoryOrder.CERTIFICATE_END, ["carol", "bob", "alice"]),
    ):
        found = list_inventory(world.services, PERSON, order=order)
        assert (names(found), found[1]) == (expected, False)
        page = list_inventory(world.services, PERSON, order=order, limit=2)
        assert (names(page), page[1]) == (expected[:2], True)
    assert names(list_inventory(world.services, PERSON, after="bob", limit=2)) == ["carol"]


def test_a_long_list_is_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the directory once instead of each principal."""
    directory.add_member(world.services, "auditors", "alice", actor=OPERATOR)
    short = list_inventory(world.services, PERSON)
    monkeypatch.setattr("doorward.directory.principal_inventory._PAGE", 1)
    assert list_inventory(world.services, PERSON) == short


def test_facts_of_certificates_name_the_application(world: World) -> None:
    """A certificate without facts is left out."""
    held, other = world.issue("alice"), world.issue("alice")
    see(world, held, world.application_id("payments"))
    found = find_facts(world.services, [held.record.id, other.record.id])
    assert {id_: one.seen_application for id_, one in found.items()} == {held.record.id: "payments"}
