"""Failures of the evidence loader: nothing is lost or counted as done, and other partners do not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from doorward.core.errors import DoorwardError, MalformedInput, Unavailable
from doorward.gateway.following import evidence_loader as module
from doorward.gateway.following.evidence_loader import EvidenceLoader
from tests.support import records
from tests.support.world import World, empty_world

WEST, EAST = records.opaque("ptn", "west"), records.opaque("ptn", "east")


@dataclass
class FakeEvidenceCache:
    """An EvidenceCache with results that the test chooses; `before` runs during a load."""

    another: bool = True
    fault: Exception | None = None
    before: Callable[[str], object] = lambda _: None
    loaded: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def load(self, partner_id: str) -> bool:
        self.before(partner_id)
        if self.fault is not None:
            raise self.fault
        self.loaded.append(partner_id)
        return self.another

    def mark_unread(self, partner_id: str) -> None:
        self.unread.append(partner_id)


@pytest.fixture
def evidence_cache() -> FakeEvidenceCache:
    """EvidenceCache on which everything is newer each time."""
    return FakeEvidenceCache()


@pytest.fixture
def world() -> World:
    """Two partners are trusted."""
    made = empty_world()
    with made.work.change() as stores:
        for name in ("west", "east"):
            stores.partners.add(records.partner(name))
    return made


@pytest.fixture
def loader(world: World, evidence_cache: FakeEvidenceCache) -> EvidenceLoader:
    """A loader of these evidence caches."""
    return EvidenceLoader(world.services, evidence_cache)  # type: ignore[arg-type]  # only `load` is asked


class Once(threading.Event):
    """A stop that comes after one round, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.waits: list[float | None] = []

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 1

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return True


def run_once(loader: EvidenceLoader) -> list[float | None]:
    """Run one round of the loader; return how long it would have waited."""
    stop = Once()
    loader.run(stop)
    return stop.waits


def test_what_fails_to_be_acted_on_is_given_again(loader: EvidenceLoader) -> None:
    """If the follower fails inside the block, its evidence stays pending and is given again."""
    loader.changed(WEST, 7)
    run_once(loader)

    def act() -> None:
        with loader.taken():
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        act()
    assert loader.pending() == 7
    with loader.taken() as partners:
        assert partners == {WEST}


def test_newer_evidence_while_the_older_is_acted_on(loader: EvidenceLoader) -> None:
    """A change that comes meanwhile keeps a number of its own; the first one's is not given for it."""
    loader.changed(WEST, 7)
    run_once(loader)
    with loader.taken():
        loader.changed(WEST, 9)
    assert loader.pending() == 9
    run_once(loader)
    with loader.taken() as partners:
        assert partners == {WEST}


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("database-unavailable", "away"),
        MalformedInput("crl-malformed", "no list"),
        RuntimeError("x"),
    ],
)
def test_a_failure_is_told_and_tried_again(
    loader: EvidenceLoader, evidence_cache: FakeEvidenceCache, fault: Exception
) -> None:
    """Unreadable evidence stays pending by its number, is reported, and is loaded once it can be read."""
    evidence_cache.fault = fault
    loader.changed(WEST, 7)
    assert run_once(loader) == [module.RETRY_SECONDS]
    assert loader.pending() == 7
    detail = fault.detail if isinstance(fault, DoorwardError) else "see the log"
    assert detail in loader.trouble()
    evidence_cache.fault = None
    loader.changed(EAST, 8)
    assert run_once(loader) == []
    assert loader.trouble() == ""
    assert sorted(evidence_cache.loaded) == sorted([WEST, EAST])
    assert loader.pending() == 7


def test_one_failure_does_not_hold_up_another_partner(
    loader: EvidenceLoader, evidence_cache: FakeEvidenceCache
) -> None:
    """If one partner's evidence is unreadable, the other's is still loaded."""

    def fail_for_west(partner: str) -> None:
        if partner == WEST:
            raise MalformedInput("crl-malformed", "no list")

    evidence_cache.before = fail_for_west
    loader.changed(WEST, 7)
    loader.changed(EAST, 8)
    run_once(loader)
    with loader.taken() as partners:
        assert partners == {EAST}
    assert loader.pending() == 7


def test_before_the_door_opens_everything_is_loaded(
    world: World, loader: EvidenceLoader, evidence_cache: FakeEvidenceCache
) -> None:
    """Each partner's evidence cache is filled in the caller's thread; what cannot be read is left to the thread."""
    loader.load_all()
    assert sorted(evidence_cache.loaded) == sorted([WEST, EAST])
    assert loader.pending() is None
    evidence_cache.fault = MalformedInput("crl-malformed", "no list")
    loader.load_all()
    assert loader.pending() == world.head()
    world.work.broken = Unavailable("database-unavailable", "away")
    with pytest.raises(Unavailable):
        loader.load_all()


def test_it_ends_when_it_is_woken_for_it(loader: EvidenceLoader, evidence_cache: FakeEvidenceCache) -> None:
    """A thread that waits for work ends once `stop` is set and it is woken."""
    stop, asleep = threading.Event(), threading.Event()
    evidence_cache.before = lambda _: asleep.set()
    thread = threading.Thread(target=loader.run, args=(stop,), daemon=True)
    thread.start()
    loader.changed(WEST, 1)
    assert asleep.wait(60)
    stop.set()
    loader.wake()
    thread.join(60)
    assert not thread.is_alive()
