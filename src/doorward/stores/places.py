"""The place of a call in a bounded pool, which the call gives up when it begins to wait for others.

A pool bounds how many calls work at the same time. A call that waits in a queue for a batch does no work, so another call
may have its place. What is left to do after the batch is little, and is done without a place.

Not here: pools (web.pool), queues (batching). Each thread has its own place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_own = threading.local()


@contextmanager
def holding_place(release: Callable[[], None]) -> Iterator[None]:
    """Hold a place for as long as the block lasts, or until it is given up; `release` is called exactly once."""
    _own.release = release
    try:
        yield
    finally:
        give_up_place()


def give_up_place() -> None:
    """Give up the place of this thread, if it has one."""
    release = getattr(_own, "release", None)
    _own.release = None
    if release is not None:
        release()
