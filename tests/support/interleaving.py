"""What happens between two transactions of one use case: another one's work, or the death of the process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from tests.support.world import World


class ProcessDiedError(Exception):
    """Stands for the death of the process at a chosen moment."""


def before_change(world: World, number: int, act: Callable[[], object]) -> None:
    """Call `act` just before the `number`-th write transaction from now on begins."""
    real, turn = world.work.change, count(1)

    def change(**how: Any) -> Any:
        if next(turn) == number:
            act()
        return real(**how)

    world.work.change = change  # type: ignore[method-assign]  # the seam of the fake


def die_at(world: World, number: int) -> None:
    """Make the `number`-th write transaction from now on die before its commit."""

    def die() -> None:
        raise ProcessDiedError

    before_change(world, number, die)
