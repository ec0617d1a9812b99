"""One copy of each revocation list, read again if there is a newer one."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.authority.status import crls
from doorward.stores.records import AuthorityKind, CrlRecord
from doorward.web.shared_crl import SharedCrls
from tests.support import memory_store
from tests.support.world import World, found_world


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[CrlRecord]:
    """Every list that is read; as a database does, each reading makes bytes of its own."""
    read: list[CrlRecord] = []
    stored = memory_store.MemoryStatus.crl

    def crl(self: memory_store.MemoryStatus, authority_id: str, partition: str = "") -> CrlRecord | None:
        found = stored(self, authority_id, partition)
        if found is not None:
            read.append(replace(found, der=bytes(bytearray(found.der))))
        return read[-1] if found is not None else None

    def crl_number(self: memory_store.MemoryStatus, authority_id: str, partition: str = "") -> int | None:
        found = stored(self, authority_id, partition)
        return None if found is None else found.number

    monkeypatch.setattr(memory_store.MemoryStatus, "crl", crl)
    monkeypatch.setattr(memory_store.MemoryStatus, "crl_number", crl_number)
    return read


@pytest.fixture
def world() -> World:
    """A founded authority with a list."""
    founded = found_world()
    crls.publish_crls(founded.services)
    return founded


def issuing(world: World) -> str:
    """The id of the issuing authority."""
    with world.work.read() as stores:
        authority = stores.authorities.current(AuthorityKind.ISSUING)
    assert authority is not None
    return authority.id


def test_many_readers_share_one_copy(world: World, loads: list[CrlRecord]) -> None:
    """However many ask, from any thread, the list is read once and everybody gets the same object."""
    shared, one = SharedCrls(world.services), issuing(world)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(shared.find(one))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len({id(each) for each in found}) == len(loads) == 1


def test_a_newer_list_takes_the_place_of_the_held_one(world: World, loads: list[CrlRecord]) -> None:
    """A new number is seen at the next question, with another tag; the old one is held no longer."""
    shared, one = SharedCrls(world.services), issuing(world)
    old = shared.find(one)
    world.clock.turn(seconds=11)
    crls.publish_crls(world.services)
    loads.clear()
    new = shared.find(one)
    assert old is not None
    assert new is not None
    assert new.record.number == old.record.number + 1
    assert new.record.this_update - old.record.this_update == timedelta(seconds=11)
    assert new.tag != old.tag
    assert shared.find(one) is new
    assert len(loads) == 1
    assert list(shared._held.values()) == [new]


def test_each_partition_is_held_for_itself(world: World, loads: list[CrlRecord]) -> None:
    """Full list and partitions are different lists, each read once."""
    names = ("", "1-of-2", "2-of-2")
    crls.publish_crls(world.services, names)
    loads.clear()
    shared, one = SharedCrls(world.services), issuing(world)
    found = [shared.find(one, name) for name in (*names, *names)]
    assert [each.record.partition for each in found if each is not None] == [*names, *names]
    assert found[:3] == found[3:]
    assert len({id(each) for each in found}) == len(loads) == 3
    assert shared.find(one, "1-of-4") is None


def test_who_has_no_list_leaves_nothing_behind(world: World) -> None:
    """Questions about authorities that do not exist cost no memory."""
    shared = SharedCrls(world.services)
    assert shared.find("aut_" + "a" * 20) is None
    assert shared._held == {}
