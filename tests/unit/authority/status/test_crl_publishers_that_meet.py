"""Publishers that overtake each other, and clocks that differ or are set back: no list misses a revocation."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from doorward.authority.status import crls
from doorward.authority.status.partitions import partition_of
from tests.support.delta_authority import DeltaAuthority
from tests.support.deltas import apply_delta, entries_of
from tests.support.interleaving import before_change


@pytest.mark.parametrize("deltas", [False, True])
def test_a_publisher_that_was_overtaken_in_one_scope_stores_no_other(*, deltas: bool) -> None:
    """Otherwise its full list would say that all before its snapshot is published, and the partition would wait for half its life."""
    authority = DeltaAuthority(4)
    if not deltas:
        authority.services = replace(authority.services, crl_deltas=False)
    held = authority.issue()
    own = partition_of(held.record.serial, 4)
    with ThreadPoolExecutor(1) as pool:
        has_snapshot, may_store = threading.Event(), threading.Event()
        real = authority.world.work.change

        def wait_first(**how: Any) -> Any:
            authority.world.work.change = real  # type: ignore[method-assign]  # the seam of the fake
            has_snapshot.set()
            assert may_store.wait(60)
            return real(**how)

        authority.world.work.change = wait_first  # type: ignore[method-assign]
        first = pool.submit(crls.publish_crls, authority.services, (own,))
        assert has_snapshot.wait(60)
        authority.revoke(held)  # after the first one's snapshot, and before that of the second

        def let_first_store() -> None:
            may_store.set()
            first.result(60)

        before_change(authority.world, 1, let_first_store)
        authority.later()
    authority.later()
    assert _told(authority, own) == {held.record.serial: "key_compromise"}
    assert authority.later() == {}


def test_changes_are_kept_for_a_base_that_has_ended_by_one_clock_only() -> None:
    """Deltas were switched off, and the clock of another machine is a little behind: there the base is still extended."""
    authority = DeltaAuthority(4)
    held = authority.issue()
    own = partition_of(held.record.serial, 4)
    older = authority.stored(own)
    authority.revoke(held)
    authority.later()
    authority.later(hours=12)  # a newer base of each scope
    authority.services = replace(authority.services, crl_deltas=False)
    authority.world.clock.turn(seconds=(older.next_update - authority.world.clock.now()).total_seconds())
    crls.publish_crls(authority.services)
    authority.world.clock.turn(seconds=-2)
    crls.publish_crls(authority.services, (f"{own}-delta",))
    delta = authority.stored(f"{own}-delta").der
    assert apply_delta(older.der, delta) == {held.record.serial: "key_compromise"}


@pytest.mark.parametrize("deltas", [False, True])
def test_a_clock_that_was_ahead_hides_no_revocation(*, deltas: bool) -> None:
    """Lists were made while it was a year ahead."""
    authority = DeltaAuthority(4)
    if not deltas:
        authority.services = replace(authority.services, crl_deltas=False)
    before, after = authority.issue(), authority.issue()
    authority.revoke(before)
    authority.later()
    authority.later(days=1000)
    authority.later(days=1)
    authority.world.clock.turn(days=-1001)
    authority.revoke(after)
    authority.later()
    for one in (before, after):
        own = partition_of(one.record.serial, 4)
        assert one.record.serial in _told(authority, own)
        assert one.record.serial in _told(authority, "")
        assert authority.stored(own).this_update <= authority.world.clock.now()


def _told(authority: DeltaAuthority, scope: str) -> dict[int, str]:
    complete, delta = authority.stored(scope).der, f"{scope}-delta" if scope else "delta"
    return (
        apply_delta(complete, authority.stored(delta).der) if authority.has(delta) else entries_of(complete)
    )
