"""Calls of several threads are worked off together, and each gets its own result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest

from doorward.core.errors import RequestRefused, Unavailable
from doorward.stores.batching import Batcher, QueueErrors
from tests.support.refusals import refused

SERVICES = object()
SECONDS = 30
ERRORS = QueueErrors(
    busy=lambda: Unavailable("queue-busy", "the queue is full"),
    interrupted=lambda: Unavailable("queue-interrupted", "the leader was stopped"),
)


class Work:
    """Doubles numbers, and notes the batches; the batch of the job `hold` waits for `release`."""

    def __init__(self, batcher: Batcher[int, int], hold: int = 0) -> None:
        self.batcher = batcher
        self.batches: list[list[int]] = []
        self.hold = hold
        self.begun = threading.Event()
        self.release = threading.Event()
        self.faults: dict[int, BaseException] = {}

    def __call__(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(jobs))
        if self.hold in jobs:
            self.begun.set()
            assert self.release.wait(SECONDS)
        if self.hold in self.faults and self.hold in jobs:
            raise self.faults[self.hold]
        return [self.faults.get(job, 2 * job) for job in jobs]  # type: ignore[misc]  # errors of jobs are no interrupts

    def run(self, job: int, *, together: object = SERVICES, apart: str = "") -> int:
        return self.batcher.run(job, self, together=together, errors=ERRORS, apart=apart)


def behind(work: Work, *calls: Callable[[], int]) -> list[Future[int]]:
    """Make calls one after the other while the batch of job 0 is worked on; then let it end, and return all calls."""
    threads = ThreadPoolExecutor(len(calls) + 1)
    made = [threads.submit(work.run, 0)]
    assert work.begun.wait(SECONDS)
    for number, call in enumerate(calls, start=1):
        made.append(threads.submit(call))
        while work.batcher.waiting < number and not made[-1].done():
            time.sleep(0.001)
    work.release.set()
    threads.shutdown()
    return made


def test_an_idle_call_is_a_batch_of_its_own():
    """Without company a call is worked on at once, in its own thread."""
    work = Work(Batcher(), hold=-1)
    assert [work.run(3), work.run(4)] == [6, 8]
    assert work.batches == [[3], [4]]


def test_calls_that_wait_go_together_in_their_order():
    """What came during a batch is the next batch; each call gets its own result."""
    work = Work(Batcher())
    made = behind(work, *(lambda job=job: work.run(job) for job in (5, 3, 4)))
    assert [one.result() for one in made] == [0, 10, 6, 8]
    assert work.batches == [[0], [5, 3, 4]]


def test_an_error_is_raised_by_its_own_call_only():
    """The neighbours of a refused job get their results."""
    work = Work(Batcher())
    work.faults[3] = RequestRefused("invitation-invalid", "used")
    made = behind(work, *(lambda job=job: work.run(job) for job in (5, 3, 4)))
    assert [made[1].result(), made[3].result()] == [10, 8]
    with refused(RequestRefused, "invitation-invalid"):
        made[2].result()


def test_a_batch_has_at_most_so_many_calls():
    """Calls beyond the bound are the next batch."""
    work = Work(Batcher(most=2))
    behind(work, *(lambda job=job: work.run(job) for job in (1, 2, 3)))
    assert work.batches == [[0], [1, 2], [3]]


def test_calls_of_one_holder_follow_each_other():
    """Two calls with the same word are never in one batch, and keep their order; others overtake the second."""
    work = Work(Batcher())
    jobs = [(1, "alice"), (2, "alice"), (3, ""), (4, ""), (5, "bob")]
    behind(work, *(lambda job=job, who=who: work.run(job, apart=who) for job, who in jobs))
    assert work.batches == [[0], [1, 3, 4, 5], [2]]


def test_calls_of_other_services_are_another_batch():
    """Only calls with the same object go together."""
    work, other = Work(Batcher()), object()
    behind(
        work,
        lambda: work.run(1, together=other),
        lambda: work.run(2),
        lambda: work.run(3, together=other),
    )
    assert work.batches == [[0], [1, 3], [2]]


def test_a_full_queue_refuses():
    """A call beyond the bound of the queue is refused at once; the others are worked off."""
    work = Work(Batcher(waiting=2))
    made = behind(work, *(lambda job=job: work.run(job) for job in (1, 2, 3)))
    with refused(Unavailable, "queue-busy"):
        made.pop().result()
    assert [one.result() for one in made] == [0, 2, 4]


def test_a_call_that_waited_too_long_was_not_begun():
    """At the end of its patience a call leaves the queue, and is never worked on."""
    work = Work(Batcher(patience=timedelta(milliseconds=1)))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(work.run, 0)
        assert work.begun.wait(SECONDS)
        with refused(Unavailable, "queue-busy"):
            work.run(1)
        work.release.set()
    assert first.result() == 0
    assert work.batches == [[0]]


def test_a_fault_of_the_whole_batch_is_raised_by_each():
    """If the work itself fails, every call of the batch raises that; the next batch goes on."""
    work = Work(Batcher())
    work.faults[0] = OSError("disk")
    made = behind(work, lambda: work.run(1))
    with pytest.raises(OSError, match="disk"):
        made[0].result()
    assert made[1].result() == 2


def test_the_calls_of_an_interrupted_leader_are_told():
    """If the leading thread is stopped, its companions are told that the result is not known, and the queue goes on."""
    work = Work(Batcher())
    stopped = Work(work.batcher, hold=7)
    stopped.faults[7] = KeyboardInterrupt()
    stopped.release.set()
    made = behind(work, lambda: stopped.run(7), lambda: stopped.run(8))
    with pytest.raises(KeyboardInterrupt):
        made[1].result()
    with refused(Unavailable, "queue-interrupted"):
        made[2].result()
    assert stopped.batches == [[7, 8]]
    assert work.run(9) == 18


def test_a_job_that_calls_again_does_not_wait_for_itself():
    """A call within the work of the same thread is worked on at once."""
    batcher: Batcher[int, int] = Batcher()

    def times_ten(jobs: Sequence[int]) -> list[int]:
        return [10 * one for one in jobs]

    def outer(jobs: Sequence[int]) -> list[int]:
        return [batcher.run(job, times_ten, together=SERVICES, errors=ERRORS) for job in jobs]

    assert batcher.run(4, outer, together=SERVICES, errors=ERRORS) == 40
