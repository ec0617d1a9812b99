"""By the mark of the last change that was followed a database is recognised that was put back meanwhile."""

from __future__ import annotations

import pytest

from doorward.directory import principals as directory
from doorward.gateway.following.change_mark import find_marked, render_mark
from doorward.stores.records import ChangeRecord
from tests.support.world import OPERATOR, World, found_world


def suspended(world: World, name: str) -> ChangeRecord:
    """The change that suspends a person."""
    seq = directory.suspend(world.services, name, actor=OPERATOR).seq
    with world.work.read() as stores:
        (change,) = stores.changes.since(seq - 1, 1)
    return change


def put_back(world: World) -> None:
    """Take the last change out of the database, as an older copy of it lacks it."""
    with world.work.change() as stores:
        stores.changes.writable().changes.popitem()  # type: ignore[attr-defined]


def test_a_change_that_is_there_is_known_by_its_mark() -> None:
    """A mark is known also after newer changes."""
    world = found_world()
    mark = render_mark(suspended(world, "alice"))
    assert find_marked(world.services, mark)
    suspended(world, "bob")
    assert find_marked(world.services, mark)


def test_a_change_that_is_gone_is_not() -> None:
    """A missing change is unknown, also if another one has its number since."""
    world = found_world()
    mark = render_mark(suspended(world, "alice"))
    put_back(world)
    assert not find_marked(world.services, mark)
    world.clock.turn(seconds=1)
    assert suspended(world, "bob").seq == int(mark.split()[0])
    assert not find_marked(world.services, mark)


@pytest.mark.parametrize("text", ["", " ", "x", "-1 a", "1", "²", "9" * 30, f"{1 << 64} policy x y"])
def test_no_other_text_is_a_mark(text: str) -> None:
    """An unknown mark counts as a database that was put back."""
    assert not find_marked(found_world().services, text)
