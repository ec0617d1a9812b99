"""A place in a bounded pool is given up once: at the end of its call, or before."""

from __future__ import annotations

import threading

import pytest

from doorward.stores.places import give_up_place, holding_place


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_place_is_released_once(times: int) -> None:
    """At the end of the block, or when the call gives it up, and never twice."""
    released: list[bool] = []
    with holding_place(lambda: released.append(True)):
        for _ in range(times):
            give_up_place()
        assert len(released) == min(times, 1)
    give_up_place()
    assert released == [True]


def test_a_place_is_released_by_an_error() -> None:
    """A call that fails holds no place."""
    released: list[bool] = []

    def fail() -> None:
        with holding_place(lambda: released.append(True)):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert released == [True]


def test_each_thread_has_its_own_place() -> None:
    """Another thread gives up nothing of this one."""
    released: list[bool] = []
    with holding_place(lambda: released.append(True)):
        other = threading.Thread(target=give_up_place)
        other.start()
        other.join(30)
        assert released == []
    assert released == [True]
