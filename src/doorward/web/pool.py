"""The bounded pool of threads in which the web surfaces call use cases.

Not here: any use case. Use cases are synchronous; called on the event loop, one slow transaction
would stop every other answer. The queue is bounded too: a stampede is told to come back, it does
not pile up in memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from doorward.core.errors import Unavailable

T = TypeVar("T")

DEFAULT_WORKERS = 8
DEFAULT_WAITING = 256
"""Precedent: at 300 issuances a second this queue is worked off within a second."""

SLOW_WORKERS = 34
"""As many as work and wait in `directory.factors.budget`: it says who is next, and nothing queues before it."""


class UseCasePool:
    """Runs synchronous calls in at most `workers` threads, with at most `waiting` calls behind them.

    Calls that take long, or wait for memory (password hashes), have `slow` threads of their own: a flood of them
    must not hold up certificates and revocation.
    Safe to share between servers in several threads.
    """

    def __init__(
        self,
        *,
        workers: int = DEFAULT_WORKERS,
        waiting: int = DEFAULT_WAITING,
        slow: int = SLOW_WORKERS,
    ) -> None:
        self._quick = _BoundedExecutor("use-case", workers, waiting)
        self._slow = _BoundedExecutor("slow-case", slow, 0)

    async def run(self, call: Callable[[], T]) -> T:
        """Return what the call returns, or raise what it raises.

        A call that has begun goes on to its end also when the peer hangs up: a certificate that is
        being recorded is recorded.

        Raises:
            Unavailable: `server-busy` where all places are taken.
        """
        return await self._quick.run(call)

    async def run_slow(self, call: Callable[[], T]) -> T:
        """Do the same for a call that takes long."""
        return await self._slow.run(call)

    def close(self) -> None:
        """Finish what has begun, drop what waits, and take nothing more."""
        self._quick.close()
        self._slow.close()


class _BoundedExecutor:
    """Threads, and the places in front of them."""

    def __init__(self, name: str, workers: int, waiting: int) -> None:
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                "server-busy", "too many requests are waiting", hint="try again in a few seconds"
            )
        try:
            future = self._threads.submit(call)
        except RuntimeError:  # close() was called
            self._places.release()
            raise Unavailable(
                "server-stopping", "the server is being stopped", hint="try again soon"
            ) from None
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
