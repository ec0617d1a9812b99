"""Certificates that end soon and were not renewed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.authority import issuing
from doorward.directory.endings import list_ending, summarise_endings
from doorward.directory.principals import suspend
from tests.support.world import OPERATOR, World, found_world

DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """A founded authority with certificates of alice, bob and the service ledger; alice's ends first."""
    made = found_world()
    for name in ("alice", "bob", "ledger"):
        made.issue(name)
        made.clock.turn(hours=1)
    made.clock.turn(days=80)
    return made


def ids(world: World, **words: object) -> list[str]:
    """Return the holders of the certificates that end within 30 days."""
    return [one.subject_name for one in list_ending(world.services, 30 * DAY, **words)[0]]  # type: ignore[arg-type]


def test_the_first_end_comes_first(world: World) -> None:
    """Only what ends within the time is listed; a page tells whether there are more, and where the next begins."""
    assert ids(world) == ["alice", "bob", "ledger"]
    assert list_ending(world.services, 9 * DAY) == ([], False)
    page, more = list_ending(world.services, 30 * DAY, limit=2)
    assert (len(page), more) == (2, True)
    assert ids(world, after=page[-1].id) == ["ledger"]


def test_who_renewed_or_is_suspended_is_left_out(world: World) -> None:
    """Unless every certificate is asked for."""
    alice = world.certificate(world.held[0])
    issuing.issue(world.services, world.csr(), issuing.RenewalClaim(actor=OPERATOR, certificate=alice))
    suspend(world.services, "bob", actor=OPERATOR)
    assert ids(world) == ["ledger"]
    assert ids(world, every=True) == ["alice", "bob", "ledger"]


def test_the_summary_counts_what_ends_and_what_ended(world: World) -> None:
    """The first is named; an ended one counts for thirty days."""
    found = summarise_endings(world.services)
    assert found.first is not None
    assert (found.soon, found.first.subject_name, found.ended) == (3, "alice", 0)
    world.clock.turn(days=9, hours=21, minutes=30)
    found = summarise_endings(world.services)
    assert found.first is not None
    assert (found.soon, found.first.subject_name, found.ended) == (2, "bob", 1)
    world.clock.turn(days=40)
    found = summarise_endings(world.services)
    assert (found.soon, found.first, found.ended) == (0, None, 0)
