"""Events that wait for the sequencer are found, and an idle database is not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doorward.core.errors import Unavailable
from doorward.runtime.waiting_events import WaitingEvents


class Scene:
    """An outbox with a mark, both set by the test."""

    def __init__(self) -> None:
        self.mark: object | None = 1
        self.waiting = False
        self.reads = 0
        self.broken = False
        self.events = WaitingEvents(self.read, lambda: self.mark)

    @contextmanager
    def read(self) -> Iterator[Scene]:
        """Count the transactions."""
        self.reads += 1
        if self.broken:
            raise Unavailable("store-busy", "away")
        yield self

    def has_waiting(self) -> bool:
        """Whether an event waits."""
        return self.waiting


@pytest.fixture
def scene() -> Scene:
    """An empty outbox."""
    return Scene()


def test_an_empty_outbox_is_read_once_for_each_commit(scene: Scene) -> None:
    """A commit may have brought an event; without one there is none."""
    assert [scene.events.look() for _ in range(5)] == [False] * 5
    assert scene.reads == 1
    scene.mark, scene.waiting = 2, True
    assert scene.events.look()


def test_what_waits_is_found_until_it_is_taken(scene: Scene) -> None:
    """The mark of a look that found an event is not used: that event may not have been taken."""
    scene.waiting = True
    assert [scene.events.look() for _ in range(3)] == [True] * 3
    scene.waiting = False
    assert not scene.events.look()


def test_without_a_mark_the_outbox_is_read(scene: Scene) -> None:
    """A database server gives none."""
    scene.mark = None
    assert not scene.events.look()
    scene.waiting = True
    assert scene.events.look()


def test_a_look_that_failed_is_repeated(scene: Scene) -> None:
    """It has found nothing out."""
    assert not scene.events.look()
    scene.mark, scene.broken, scene.waiting = 2, True, True
    with pytest.raises(Unavailable):
        scene.events.look()
    scene.broken = False
    assert scene.events.look()
