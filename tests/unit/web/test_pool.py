"""The bounded pool of use cases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from doorward.core.errors import MalformedInput, Unavailable
from doorward.stores.batching import Batcher, QueueErrors
from doorward.stores.places import give_up_place
from doorward.web.pool import UseCasePool
from tests.support.refusals import refused


@pytest.fixture
def pool() -> Iterator[UseCasePool]:
    """One worker, one waiting place."""
    small = UseCasePool(workers=1, waiting=1)
    yield small
    small.close()


def test_results_and_errors_come_through(pool: UseCasePool) -> None:
    """A call's value is returned, its error raised, in a thread that is not the loop's."""

    def fail() -> None:
        raise MalformedInput("x", "y")

    async def story() -> str:
        with pytest.raises(MalformedInput):
            await pool.run(fail)
        return await pool.run(lambda: threading.current_thread().name)

    assert asyncio.run(story()).startswith("use-case")


def test_more_calls_than_places_are_told_to_come_back(pool: UseCasePool) -> None:
    """One runs, one waits, the third is refused at once; the place is free again afterwards."""
    release = threading.Event()

    async def story() -> None:
        first = asyncio.create_task(pool.run(release.wait))
        second = asyncio.create_task(pool.run(release.wait))
        await asyncio.sleep(0)
        with refused(Unavailable, "server-busy"):
            await pool.run(release.wait)
        release.set()
        assert await first
        assert await second
        assert await pool.run(release.wait)

    asyncio.run(story())


def test_slow_calls_hold_up_no_others(pool: UseCasePool) -> None:
    """While every thread for them is taken, a quick call is answered, and one more slow call gets `server-busy`."""
    narrow, release = UseCasePool(workers=1, waiting=0, slow=1), threading.Event()

    async def story() -> None:
        slow = asyncio.create_task(narrow.run_slow(release.wait))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await narrow.run_slow(release.wait)
        assert await narrow.run(lambda: "quick") == "quick"
        release.set()
        assert await slow

    asyncio.run(story())
    narrow.close()


def test_a_call_goes_on_if_no_caller_waits_for_it(pool: UseCasePool) -> None:
    """A peer that hangs up does not stop what has begun, and gives its place back in the end."""
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        release.wait()
        ended.set()

    async def story() -> None:
        task = asyncio.create_task(pool.run(work))
        await asyncio.to_thread(began.wait)
        waiting = asyncio.create_task(pool.run(lambda: None))
        await asyncio.sleep(0)
        task.cancel()
        waiting.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        release.set()
        assert await pool.run(ended.is_set)

    asyncio.run(story())


def test_a_closed_pool_refuses(pool: UseCasePool) -> None:
    """After close() calls are refused as unavailable, each time."""
    pool.close()
    for _ in range(3):
        with refused(Unavailable, "server-stopping"):
            asyncio.run(pool.run(lambda: None))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    pause = threading.Event()
    while not holds():
        pause.wait(0.001)


def test_a_call_that_waits_for_others_gives_its_place_up() -> None:
    """Beyond the workers calls begin only at places that were given up, and no more of them than `aside`."""
    wide, release = UseCasePool(workers=1, waiting=9, aside=2), threading.Event()
    began: list[str] = []

    def wait_aside() -> None:
        began.append("aside")
        give_up_place()
        assert release.wait(30)

    def work() -> None:
        began.append("works")
        assert release.wait(30)

    async def story() -> None:
        calls = [asyncio.create_task(wide.run(one)) for one in (wait_aside, wait_aside, work, work)]
        await asyncio.to_thread(until, lambda: len(began) == 3)
        await asyncio.sleep(0.05)
        assert began == ["aside", "aside", "works"]
        release.set()
        await asyncio.gather(*calls)

    asyncio.run(story())
    assert len(began) == 4
    wide.close()


def test_a_batch_is_larger_than_the_pool() -> None:
    """Calls that wait for a batch give up their places, so beside the leader one worker fills a batch of three."""
    wide = UseCasePool(workers=2, waiting=9, aside=4)
    batcher: Batcher[int, int] = Batcher()
    errors = QueueErrors(busy=RuntimeError, interrupted=RuntimeError)
    began, release = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def work(jobs: Sequence[int]) -> Sequence[int]:
        batches.append(list(jobs))
        began.set()
        assert release.wait(30)
        return jobs

    def call(job: int) -> int:
        return batcher.run(job, work, together=batches, errors=errors)

    async def story() -> None:
        first = asyncio.create_task(wide.run(lambda: call(0)))
        await asyncio.to_thread(began.wait)
        rest = [asyncio.create_task(wide.run(lambda job=job: call(job))) for job in (1, 2, 3)]  # type: ignore[misc]  # a default
        await asyncio.to_thread(until, lambda: batcher.waiting == 3)
        release.set()
        assert await asyncio.gather(first, *rest) == [0, 1, 2, 3]

    asyncio.run(story())
    wide.close()
    assert [len(one) for one in batches] == [1, 3]
