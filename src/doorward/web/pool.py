"""The bounded thread pool in which the web surfaces run use cases.

Use cases are synchronous: on the event loop, one slow transaction would stop every other answer. The queue is bounded too,
so that a flood of requests gets 503 and does not fill the memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from doorward.core.errors import Unavailable
from doorward.stores.places import holding_place

T = TypeVar("T")

DEFAULT_WORKERS = 8
DEFAULT_WAITING = 256
"""Precedent: at 300 issuances a second this queue is worked off within a second."""

DEFAULT_ASIDE = 56
"""Calls that wait for their certificates beside those that work: together as many as one batch takes (`stores.batching`)."""

SLOW_WORKERS = 34
"""As many as run and wait in `directory.factors.budget`, which decides the order: nothing may queue in front of it."""


class UseCasePool:
    """Runs at most `workers` synchronous calls at the same time; at most `waiting` further calls wait.

    A call that waits for its certificate gives its place to another one (`stores.places`); at most `aside` have done so.

    Slow calls (password hashes) have `slow` threads of their own, so that a flood of them does not delay certificates and
    revocation. Safe to share between servers in several threads.
    """

    def __init__(
        self,
        *,
        workers: int = DEFAULT_WORKERS,
        waiting: int = DEFAULT_WAITING,
        slow: int = SLOW_WORKERS,
        aside: int = 0,
    ) -> None:
        self._quick = _BoundedExecutor("use-case", workers, waiting, aside)
        self._slow = _BoundedExecutor("slow-case", slow, 0)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call; return its result or raise its exception.

        A call that has begun runs to its end, even if the peer closes the connection: a certificate is recorded completely.

        Raises:
            Unavailable: `server-busy` if the queue is full.
        """
        return await self._quick.run(call)

    async def run_slow(self, call: Callable[[], T]) -> T:
        """Do the same for a slow call."""
        return await self._slow.run(call)

    def close(self) -> None:
        """Finish the running calls, drop the waiting ones, and accept no more."""
        self._quick.close()
        self._slow.close()


class _BoundedExecutor:
    """Threads with a bounded queue; each call works at a place, of which there are as many as workers."""

    def __init__(self, name: str, workers: int, waiting: int, aside: int = 0) -> None:
        self._calls = threading.BoundedSemaphore(workers + waiting)
        self._places = threading.BoundedSemaphore(workers)
        self._threads = ThreadPoolExecutor(max_workers=workers + aside, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        if not self._calls.acquire(blocking=False):
            raise Unavailable(
                "server-busy", "too many requests are waiting", hint="try again in a few seconds"
            )
        try:
            future = self._threads.submit(self._work, call)
        except RuntimeError:  # close() was called
            self._calls.release()
            raise Unavailable(
                "server-stopping", "the server is being stopped", hint="try again soon"
            ) from None
        future.add_done_callback(lambda _: self._calls.release())
        return await asyncio.wrap_future(future)

    def _work(self, call: Callable[[], T]) -> T:
        self._places.acquire()
        with holding_place(self._places.release):
            return call()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
