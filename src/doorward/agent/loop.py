"""Running for identities: one thread, one step after the other, until a stop.

The wall clock is looked at every five minutes at most, because a timer stands still while a machine sleeps, and because a
clock may be set. A step that has nothing to do reads one small folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta

from doorward.agent.keeper import Keeper
from doorward.agent.locking import owned
from doorward.core.ports import Clock

LONGEST_SLEEP = timedelta(minutes=5)
_SHORTEST_SLEEP = timedelta(seconds=1)


def run(
    keepers: Sequence[Keeper],
    clock: Clock,
    stop: threading.Event,
    *,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Keep identities valid until `stop` is set.

    Args:
        keepers: one for each identity.
        clock: the wall clock.
        stop: ends the loop; a step that has begun ends first.
        started: called when this process owns every folder.

    Raises:
        Unavailable: `folder-owned`: another agent runs for one of the folders. ConfigurationError: `folder-unusable`.
    """
    with ExitStack() as owning:
        for keeper in keepers:
            owning.enter_context(owned(keeper.options.directory))
        started()
        wakes: dict[int, datetime] = {}
        while not stop.is_set():
            for number, keeper in enumerate(keepers):
                if stop.is_set():
                    return
                wakes[number] = keeper.step(clock.now())
            stop.wait(sleep_seconds(min(wakes.values()), clock.now()))


def sleep_seconds(wake: datetime, now: datetime) -> float:
    """Return how long to sleep until a wake time: at least a second, and at most five minutes."""
    return max(_SHORTEST_SLEEP, min(LONGEST_SLEEP, wake - now)).total_seconds()
