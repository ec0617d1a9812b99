"""Delta CRLs that are switched on and off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.authority import revocation
from doorward.authority.status import crl_deltas, crls, published_objects
from tests.support.delta_authority import HOLD, DeltaAuthority
from tests.support.deltas import apply_delta, base_number, entries_of, freshest, number_of
from tests.support.world import OPERATOR, found_world


@pytest.fixture
def authority() -> DeltaAuthority:
    """An authority with a full list, which names its delta."""
    return DeltaAuthority()


def test_deltas_that_are_switched_on_begin_with_a_full_list() -> None:
    """A full list that names no delta is not extended: the next change makes one that does."""
    world = found_world(document="")
    crls.publish_crls(world.services)
    services = replace(world.services, crl_deltas=True)
    held = world.issue("sensor-1")
    for step, names in ((revocation.hold, {"", "delta"}), (revocation.release, {"delta"})):
        step(services, held.record.id, OPERATOR)
        world.clock.turn(seconds=11)
        made = crls.publish_crls(services, crls.due_crls(services, world.clock.now()))
        assert set(made) == names
    full = published_objects.current_crl(services)
    assert full is not None
    assert freshest(full.der) is not None


def test_deltas_that_are_switched_off_are_true_until_the_last_base_has_ended(
    authority: DeltaAuthority,
) -> None:
    """Full lists name no delta any more; the delta's address answers until no full list names it."""
    named, held = authority.stored(), authority.issue()
    authority.services = replace(authority.services, crl_deltas=False)
    authority.hold(held)
    made = authority.later()
    assert set(made) == {"", "delta"}
    assert freshest(made[""].der) is None
    assert number_of(made[""].der) == number_of(made["delta"].der)
    assert apply_delta(named.der, made["delta"].der) == entries_of(made[""].der) == {held.record.serial: HOLD}
    authority.release(held)
    made = authority.later()
    assert apply_delta(named.der, made["delta"].der) == entries_of(made[""].der) == {}
    while authority.world.clock.now() + timedelta(hours=1) < named.next_update:
        authority.later(hours=1)
        assert authority.stored("delta").next_update > authority.world.clock.now()
    authority.later(hours=2)
    assert not authority.has("delta")
    assert not published_objects.find_faults(authority.services, authority.world.clock.now())
    assert set(authority.later(hours=13)) == {""}


def test_numbers_go_on_after_deltas_are_switched_on_again(authority: DeltaAuthority) -> None:
    """No number is used twice, also not by a delta that had ended."""
    authority.revoke(authority.issue())
    authority.later()
    authority.services = replace(authority.services, crl_deltas=False)
    authority.later(hours=25)
    assert not authority.has("delta")
    assert number_of(authority.stored().der) == 3
    authority.services = replace(authority.services, crl_deltas=True)
    authority.revoke(authority.issue())
    made = authority.later()
    assert [number_of(one.der) for one in made.values()] == [4, 4]


def test_too_many_changes_after_the_switch_off_are_still_told(
    authority: DeltaAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No new base will come, so the delta goes on with the one that it has."""
    monkeypatch.setattr(crl_deltas, "FEWEST_CHANGES", 1)
    named = authority.stored()
    authority.services = replace(authority.services, crl_deltas=False)
    for _ in range(3):
        authority.revoke(authority.issue())
    made = authority.later()
    assert base_number(made["delta"].der) == number_of(named.der)
    assert apply_delta(named.der, made["delta"].der) == entries_of(made[""].der)
