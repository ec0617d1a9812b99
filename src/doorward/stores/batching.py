"""Calls of several threads that are worked off together: one of the threads, the leader, does the work of all that wait.

No thread waits for company: a call that finds no leader is the leader, and begins at once. Calls that come meanwhile wait;
the leader's successor takes all of them (flat combining, Hendler and others, 2010). So the batches are as large as the
load makes them, and an idle system has batches of one.

    1. no leader: lead. Otherwise wait in the queue; if it is full, the call is refused
    2. the leader takes the calls that may go together, in their order, at most `most`
    3. it works, and gives each call its own result or its own error
    4. the first call that still waits leads next

A call that waits gives up its place in the pool of its thread (places), so that the batches are not bounded by the
threads that may work at the same time.

Not here: what is worked off, and the errors of the queue (authority.issuing). Safe to share between threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

from doorward.stores.places import give_up_place

MOST_TOGETHER = 64
"""Calls in one batch. Other writers of the database wait for a batch, about 10 ms; a larger one saves less than 2 %."""
MOST_WAITING = 512
"""Calls in the queue; at 300 a second, the last one waits for less than two seconds."""
PATIENCE = timedelta(seconds=30)
"""How long a call waits in the queue. The database answers after 5 s at the latest, and a batch has two changes."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class QueueErrors(NamedTuple):
    """Makes the errors of a queue that is not a job's own.

    Args:
        busy: the queue is full, or the call waited too long. It was not begun.
        interrupted: the thread that worked on it was stopped; it may have been done.
    """

    busy: Callable[[], Exception]
    interrupted: Callable[[], Exception]


class _Call(Generic[Job, Result]):
    """One call; `woken` is locked until `leads` or `outcome` is set. A lock costs half as much as an event."""

    __slots__ = ("apart", "job", "leads", "outcome", "together", "woken")

    def __init__(self, job: Job, together: object, apart: str) -> None:
        self.job = job
        self.together = together
        self.apart = apart
        self.leads = False
        self.outcome: Result | Exception | None = None
        self.woken = threading.Lock()
        self.woken.acquire()


class Batcher(Generic[Job, Result]):
    """The queue of one process.

    Args:
        most: calls in one batch.
        waiting: calls in the queue.
        patience: how long a call may wait in the queue. A call that the leader has taken waits for its result.
    """

    def __init__(
        self, *, most: int = MOST_TOGETHER, waiting: int = MOST_WAITING, patience: timedelta = PATIENCE
    ) -> None:
        self._most = most
        self._most_waiting = waiting
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: list[_Call[Job, Result]] = []
        self._has_leader = False
        self._had_company = False
        self._own = threading.local()

    @property
    def waiting(self) -> int:
        """The number of calls in the queue."""
        return len(self._waiting)

    def run(
        self,
        job: Job,
        work: Callable[[Sequence[Job]], Sequence[Result | Exception]],
        *,
        together: object,
        errors: QueueErrors,
        apart: str = "",
    ) -> Result:
        """Work a job off, together with the jobs of other threads.

        Args:
            job: what `work` gets.
            work: returns for each job its result or its error, in their order; the same for all callers.
            together: only jobs with the same object are worked off together.
            errors: makes the errors of the queue.
            apart: jobs with the same word are worked off one after the other; empty if it may go with every other.

        Raises:
            Exception: the job's own error, or one of `errors`.
        """
        call: _Call[Job, Result] = _Call(job, together, apart)
        if getattr(self._own, "leads", False):  # a job that calls again would wait for itself
            return _settled(work([job])[0], errors)
        with self._lock:
            if not self._has_leader:
                self._has_leader = call.leads = True
            elif len(self._waiting) >= self._most_waiting:
                raise errors.busy()
            else:
                self._waiting.append(call)
        if not call.leads:
            give_up_place()
            self._wait(call, errors)
        if call.leads:
            self._lead(call, work)
        return _settled(call.outcome, errors)

    def _wait(self, call: _Call[Job, Result], errors: QueueErrors) -> None:
        """Wait for the result, or for the turn to lead."""
        try:
            if call.woken.acquire(timeout=self._patience.total_seconds()):
                return
            if not self._leave_queue(call):
                call.woken.acquire()  # a leader has taken it
                return
        except BaseException:  # Ctrl-C
            if not self._leave_queue(call) and call.leads:
                with self._lock:
                    self._hand_over()
            raise
        raise errors.busy()

    def _leave_queue(self, call: _Call[Job, Result]) -> bool:
        with self._lock:
            waits = call in self._waiting
            if waits:
                self._waiting.remove(call)
            return waits

    def _lead(
        self, first: _Call[Job, Result], work: Callable[[Sequence[Job]], Sequence[Result | Exception]]
    ) -> None:
        batch = [first]
        try:  # from the first step on: whatever ends this thread, the next call must lead
            self._give_way()
            with self._lock:
                batch = self._take(first)
                self._had_company = len(batch) > 1
            self._own.leads = True
            outcomes = work([one.job for one in batch])
            for one, outcome in zip(batch, outcomes, strict=True):
                one.outcome = outcome
        except Exception as error:  # noqa: BLE001  # every call of the batch raises it
            for one in batch:
                one.outcome = error
        finally:
            self._own.leads = False
            with self._lock:
                self._hand_over()
            for one in batch[1:]:
                one.woken.release()

    def _give_way(self) -> None:
        """After a batch with company, let its threads call again before the queue is taken, as long as calls come.

        Otherwise the first of them would lead a batch of one, and the others would wait for it. A call that had no company
        before gives way to nothing, because even that takes time.
        """
        seen = -1 if self._had_company else len(self._waiting)
        while seen < len(self._waiting) < self._most:
            seen = len(self._waiting)
            time.sleep(0)

    def _take(self, first: _Call[Job, Result]) -> list[_Call[Job, Result]]:
        """Take the calls that go with the first one out of the queue."""
        batch = [first]
        left: list[_Call[Job, Result]] = []
        taken = {first.apart} - {""}
        for one in self._waiting:
            fits = len(batch) < self._most and one.together is first.together and one.apart not in taken
            (batch if fits else left).append(one)
            if fits and one.apart:
                taken.add(one.apart)
        self._waiting = left
        return batch

    def _hand_over(self) -> None:
        """Let the first call that waits lead; the caller holds the lock."""
        self._has_leader = bool(self._waiting)
        if self._waiting:
            following = self._waiting.pop(0)
            following.leads = True
            following.woken.release()


def _settled(outcome: Result | Exception | None, errors: QueueErrors) -> Result:
    if outcome is None:  # neither a result nor an error: an interrupt ended the leader
        raise errors.interrupted()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
