"""The policy snapshot: the same object until one of its parts changes, and never one of another transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doorward.access import policies
from doorward.directory import principals as directory
from doorward.stores import policy_snapshot as module
from doorward.stores.policy_snapshot import SNAPSHOT_CHANGES, PolicySnapshot, PolicySnapshots
from doorward.stores.records import ChangeKind
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, OPERATOR, World


def current(world: World, snapshots: PolicySnapshots) -> PolicySnapshot:
    """Return the snapshot in force; its number is that of the transaction."""
    with world.work.read() as stores:
        snapshot, seq = snapshots.current(stores)
        assert seq == stores.changes.head()
    return snapshot


def noting(kind: ChangeKind, times: int = 1) -> Callable[[World], None]:
    """Note a number of changes of a kind."""

    def note(world: World) -> None:
        with world.work.change() as stores:
            for _ in range(times):
                stores.changes.note(kind, "x", NOON)

    return note


def test_it_has_the_policies_by_application_id(world: World) -> None:
    """The policy of an application is found by id, with our authorities and the trust domain."""
    snapshot = current(world, PolicySnapshots())
    assert (snapshot.revision, snapshot.trust_domain) == (1, "corp.example")
    payments = world.application_id("payments")
    assert snapshot.policies[payments] is snapshot.document.app("payments")
    assert snapshot.names[payments] == "payments"
    assert len(snapshot.issuers) == 1
    assert snapshot.partners == {}


@pytest.mark.parametrize("kind", [kind for kind in ChangeKind if kind not in SNAPSHOT_CHANGES])
def test_other_changes_do_not_change_it(world: World, kind: ChangeKind) -> None:
    """Changes of certificates and people do not parse the document again."""
    snapshots = PolicySnapshots()
    before = current(world, snapshots)
    assert current(world, snapshots) is before
    noting(kind)(world)
    assert current(world, snapshots) is before


@pytest.mark.parametrize("kind", sorted(SNAPSHOT_CHANGES, key=lambda kind: kind.value))
def test_a_change_of_its_parts_makes_a_new_one(world: World, kind: ChangeKind) -> None:
    """After such a change it is loaded again."""
    snapshots = PolicySnapshots()
    before = current(world, snapshots)
    noting(kind)(world)
    assert current(world, snapshots) is not before


def test_too_many_changes_are_not_looked_through(world: World) -> None:
    """After too many changes it is loaded again."""
    snapshots = PolicySnapshots()
    before = current(world, snapshots)
    noting(ChangeKind.PRINCIPAL, module._LOOK_BACK)(world)
    assert current(world, snapshots) is before
    noting(ChangeKind.PRINCIPAL, module._LOOK_BACK + 1)(world)
    assert current(world, snapshots) is not before


def test_an_older_transaction_has_its_own(world: World) -> None:
    """A thread with an older transaction gets its own snapshot, although a newer one is stored."""
    snapshots = PolicySnapshots()
    with world.work.read() as stores:
        before = stores.changes.head()
        policies.apply_document(world.services, DOCUMENT.replace("9000", "9001"), file="x", actor=OPERATOR)
        directory.suspend(world.services, "bob", actor=OPERATOR)
        assert current(world, snapshots).revision == 2
        snapshot, seq = snapshots.current(stores)
    assert (snapshot.revision, seq) == (1, before)
    assert current(world, snapshots).revision == 2
