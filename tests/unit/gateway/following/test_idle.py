"""A look at the sequence reads nothing while nothing was committed, and what failed is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from tests.unit.gateway.following.conftest import ACTOR, Scene


class _Counting:
    """A unit of work that counts how often it is read."""

    def __init__(self, inner):
        self._inner, self.reads = inner, 0

    def read(self):
        self.reads += 1
        return self._inner.read()

    def __getattr__(self, name):
        return getattr(self._inner, name)


def counting(scene: Scene) -> _Counting:
    """Count from now on how often the follower reads, after it has read everything."""
    scene.follow()
    made = _Counting(scene.world.work)
    scene.follower._services = replace(scene.world.services, work=made)
    return made


def test_the_sequence_is_read_after_commits_only(scene: Scene) -> None:
    """A look at a number is enough while nothing is committed, and the gateway stays fresh by it."""
    scene.enter("alice", 10)
    work = counting(scene)
    for _ in range(20):
        scene.world.clock.turn(seconds=1)
        assert not scene.follower.step()
        assert scene.follower.fresh()
    assert work.reads == 0
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert work.reads > 0
    assert 10 in scene.cutter.cut


def test_what_could_not_be_acted_on_is_read_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing was committed since the step that failed."""
    scene.enter("alice", 10)
    counting(scene)
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    with monkeypatch.context() as broken:
        broken.setattr(scene.follower._reassessor, "judge", None)
        with pytest.raises(TypeError):
            scene.follower.step()
    assert scene.cutter.cut == []
    scene.follow()
    assert 10 in scene.cutter.cut


def test_a_store_that_fails_makes_the_gateway_stale(scene: Scene) -> None:
    """Without a mark the sequence is read, and if that fails, it counts as unread."""
    counting(scene)
    scene.world.work.broken = Unavailable("store-unavailable", "away")
    for _ in range(10):
        scene.world.clock.turn(seconds=1)
        with pytest.raises(Unavailable):
            scene.follower.step()
    assert not scene.follower.fresh()
