"""The evidence loader: the pending number, the partners given to the follower, and no newer evidence is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.following.evidence_loader import EvidenceLoader
from tests.support.world import found_world

PARTNER = "ptn_" + "a" * 20


class EvidenceCache:
    """Counts loads; `answers` are the results or errors of each load, `True` by default."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.answers: list[bool | Exception] = []
        self.unread: list[str] = []
        self.gate = threading.Semaphore(0)

    def load(self, partner_id: str) -> bool:
        self.loaded.append(partner_id)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def mark_unread(self, partner_id: str) -> None:
        self.unread.append(partner_id)


@contextmanager
def running(loader: EvidenceLoader) -> Iterator[None]:
    """Run the loader's thread."""
    stop = threading.Event()
    thread = threading.Thread(target=loader.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        loader.wake()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def evidence_cache() -> EvidenceCache:
    """EvidenceCache of this test."""
    return EvidenceCache()


@pytest.fixture
def loader(evidence_cache: EvidenceCache) -> EvidenceLoader:
    """A loader over a founded world."""
    return EvidenceLoader(found_world().services, evidence_cache)  # type: ignore[arg-type]


def wait_for(loader: EvidenceLoader, wanted: frozenset[str]) -> None:
    """Wait until the follower would be given just these."""
    for _ in range(30_000):
        if frozenset(loader._loaded) == wanted and not loader._busy and not loader._wanted:
            return
        threading.Event().wait(0.002)
    raise AssertionError(loader._loaded)


def test_a_change_is_pending_until_the_follower_is_done(loader: EvidenceLoader) -> None:
    """From the moment it is asked for, while it is loaded, and while the follower acts on it."""
    assert loader.pending() is None
    loader.changed(PARTNER, 7)
    loader.changed(PARTNER, 9)
    assert loader.pending() == 7
    with running(loader):
        wait_for(loader, frozenset({PARTNER}))
        assert loader.pending() == 7
        with loader.taken() as taken:
            assert taken == {PARTNER}
            assert loader.pending() == 7
        assert loader.pending() is None
        with loader.taken() as taken:
            assert taken == frozenset()


def test_what_is_loaded_while_the_follower_acts_is_not_lost(loader: EvidenceLoader) -> None:
    """A second list that comes in that very moment is given to the follower once more."""
    with running(loader):
        loader.changed(PARTNER, 7)
        wait_for(loader, frozenset({PARTNER}))
        with loader.taken():
            first = loader._loaded[PARTNER]
            loader.changed(PARTNER, 8)
            for _ in range(30_000):
                if loader._loaded[PARTNER] is not first:
                    break
                threading.Event().wait(0.002)
        assert loader.pending() == 7
        with loader.taken() as taken:
            assert taken == {PARTNER}
        assert loader.pending() is None


def test_nothing_new_is_nothing_to_act_on(loader: EvidenceLoader, evidence_cache: EvidenceCache) -> None:
    """If a load changes nothing, no connection is judged again, and the change counts as done."""
    evidence_cache.answers = [False]
    with running(loader):
        loader.changed(PARTNER, 7)
        wait_for(loader, frozenset())
    assert loader.pending() is None


def test_what_cannot_be_read_is_tried_again(
    loader: EvidenceLoader, evidence_cache: EvidenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays pending and is told, until it can be read."""
    monkeypatch.setattr("doorward.gateway.following.evidence_loader.RETRY_SECONDS", 0.01)
    evidence_cache.answers = [Unavailable("store-busy", "busy"), ValueError("odd")]
    loader.changed(PARTNER, 7)
    assert not loader.trouble()
    with running(loader):
        wait_for(loader, frozenset({PARTNER}))
    assert evidence_cache.loaded == [PARTNER] * 3
    assert not loader.trouble()


def test_all_are_loaded_before_the_door_opens(loader: EvidenceLoader, evidence_cache: EvidenceCache) -> None:
    """A world without partners has nothing to load; what fails is left to the thread, and told."""
    loader.load_all()
    assert (evidence_cache.loaded, loader.pending()) == ([], None)
    evidence_cache.answers = [Unavailable("store-busy", "busy")]
    assert loader._load(PARTNER) is None
    assert "busy" in loader.trouble()
