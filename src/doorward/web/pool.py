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

T = TypeVar("T")

DEFAULT_WORKERS = 8
DEFAULT_WAITING = 256
"""Precedent: at 300 issuances a second this queue is worked off within a second."""

SLOW_WORKERS = 34
"""As many as run and wait in `directory.factors.budget`, which decides the order: nothing may queue in front of it."""


class UseCasePool:
    """Runs synchronous calls in at most `workers` threads; at most `waiting` further calls wait.

    Slow calls (password hashes) have `slow` threads of their own, so that a flood of them does not delay certificates and
    revocation. Safe to share between servers in several threads.
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
    """Threads with a bounded queue."""

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
