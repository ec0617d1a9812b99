"""Deltas of partitions, and publishers that are overtaken by changes or by each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from doorward.authority.status import crl_deltas, crls
from doorward.authority.status.partitions import partition_names, partition_of
from tests.support.delta_authority import DeltaAuthority
from tests.support.deltas import apply_delta, base_number, entries_of, freshest, number_of
from tests.support.interleaving import before_change
from tests.support.world import STATUS_URL


@pytest.fixture
def authority() -> DeltaAuthority:
    """An authority with a full list, which names its delta."""
    return DeltaAuthority()


def test_no_partition_keeps_a_base_that_the_full_list_has_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the delta of the full list has grown, every list is made: no delta reads changes from before the full list's oldest base."""
    monkeypatch.setattr(crl_deltas, "FEWEST_CHANGES", 4)
    authority = DeltaAuthority(4)
    for _ in range(5):
        authority.revoke(authority.issue())
    made = authority.later()
    assert {"", *partition_names(4)} < set(made)
    assert all(base_number(one.der) == one.number for name, one in made.items() if name.endswith("delta"))
    issuer = authority.stored().authority_id
    with authority.world.work.read() as stores:
        assert stores.deltas.since(issuer, 0) == []
        assert len(stores.deltas.bases(issuer)) == 5
    authority.revoke(authority.issue())
    assert all(name.endswith("delta") for name in authority.later())


def test_a_partition_with_a_delta_that_has_grown_is_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of the full list is larger, because it has more entries."""
    monkeypatch.setattr(crl_deltas, "FEWEST_CHANGES", 2)
    authority = DeltaAuthority(4)
    many = [authority.issue() for _ in range(44)]
    own = [one for one in many if partition_of(one.record.serial, 4) == "1-of-4"][:3]
    for one in many:
        if one not in own:
            authority.revoke(one)
    assert set(authority.later()) > {"", *partition_names(4)}
    for one in own:
        authority.revoke(one)
    assert set(authority.later()) == {"delta", "1-of-4", "1-of-4-delta"}
    assert base_number(authority.stored("1-of-4-delta").der) == number_of(authority.stored("1-of-4").der)


def test_a_partition_uses_no_base_that_is_older_than_those_of_the_full_list() -> None:
    """Also if it has not ended: its delta would be read from more changes than that of the full list."""
    authority = DeltaAuthority(4)
    held = authority.issue()
    own = partition_of(held.record.serial, 4)
    authority.world.clock.turn(hours=6)
    crls.publish_crls(authority.services, (own,))
    older = authority.stored(own)
    authority.revoke(authority.issue())
    for _ in range(19):
        authority.later(hours=1)
    authority.revoke(held)
    delta, newer = authority.later()[f"{own}-delta"], authority.stored(own)
    assert older.next_update > authority.world.clock.now()
    assert base_number(delta.der) == newer.number > older.number
    assert apply_delta(newer.der, delta.der) == {held.record.serial: "key_compromise"}


def test_partitions_have_deltas_of_their_own() -> None:
    """Only the partition with the change, and the full list, have a new delta, each with the scope of its base."""
    authority = DeltaAuthority(4)
    held = authority.issue()
    own = partition_of(held.record.serial, 4)
    authority.revoke(held)
    made = authority.later()
    assert set(made) == {"delta", f"{own}-delta"}
    for name in partition_names(4):
        complete, delta = authority.stored(name), authority.stored(f"{name}-delta")
        scopes = [
            x509.load_der_x509_crl(one.der).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
            for one in (complete, delta)
        ]
        assert scopes[0] == scopes[1]
        assert scopes[0].critical
        assert freshest(complete.der) == f"{STATUS_URL}/crl/{complete.authority_id}/{name}-delta.crl"
        assert entries_of(delta.der) == ({held.record.serial: "key_compromise"} if name == own else {})


def test_a_revocation_while_a_delta_is_made_is_in_the_next_one(authority: DeltaAuthority) -> None:
    """It came after the snapshot, so it is due again."""
    early, late = authority.issue(), authority.issue()
    authority.revoke(early)
    authority.world.clock.turn(seconds=11)
    before_change(authority.world, 1, lambda: authority.revoke(late))
    assert set(entries_of(authority.publish()["delta"].der)) == {early.record.serial}
    assert set(entries_of(authority.later()["delta"].der)) == {early.record.serial, late.record.serial}


@pytest.mark.parametrize("deltas", [False, True])
def test_a_change_of_another_partition_after_the_look_is_not_lost(*, deltas: bool) -> None:
    """Between the look at what is due and the snapshot, a certificate of another partition is revoked: its list is made too."""
    authority = DeltaAuthority(4)
    if not deltas:
        authority.services = replace(authority.services, crl_deltas=False)
    first = authority.issue()
    second = next(
        one
        for one in iter(authority.issue, None)
        if partition_of(one.record.serial, 4) != partition_of(first.record.serial, 4)
    )
    authority.revoke(first)
    authority.world.clock.turn(seconds=11)
    due = crls.due_crls(authority.services, authority.world.clock.now())
    authority.revoke(second)
    crls.publish_crls(authority.services, due)
    own = partition_of(second.record.serial, 4)
    assert second.record.serial in apply_delta(
        authority.stored(own).der, authority.stored(f"{own}-delta").der
    )
    assert authority.later() == {}


def test_of_two_publishers_one_number_is_published(authority: DeltaAuthority) -> None:
    """A full list and a delta of one number, from different snapshots, are never both stored."""
    authority.revoke(authority.issue())
    late = authority.issue()
    authority.world.clock.turn(seconds=11)

    def other() -> None:
        authority.revoke(late)
        crls.publish_crls(authority.services)

    before_change(authority.world, 1, other)
    made = authority.publish()
    assert late.record.serial in entries_of(made["delta"].der)
    assert number_of(authority.stored().der) == number_of(authority.stored("delta").der) == 2
    assert apply_delta(authority.stored().der, authority.stored("delta").der) == authority.complete()
    assert len(entries_of(authority.stored().der)) == 2
