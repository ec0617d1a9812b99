"""Decisions made durable many at a time: whoever waits while a batch is written shares the next commit.

Not here: what an event is, or which decision it tells of. A decision takes effect only after its
event is durable (DESIGN 2.7), so `record` blocks until then; one synced commit costs about as much
as a thousand rows, and sharing it is what makes thousands of decisions a second possible.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

from doorward.audit.events import Event
from doorward.core.errors import Unavailable
from doorward.stores.protocols import UnitOfWork

MAX_BATCH = 256
"""Events in one transaction: about 10 ms of work, so that other writers get their turn."""
MAX_WAITING = 8192
"""Events that may wait: about a second of work. More would be answered too late to be of use."""


class GroupCommitter:
    """One thread that records whatever waits, batch after batch.

    Args:
        work: where events are recorded.
        max_batch: events in one transaction at most.
        max_waiting: events that may wait; the next one is refused.
    """

    def __init__(
        self, work: UnitOfWork, *, max_batch: int = MAX_BATCH, max_waiting: int = MAX_WAITING
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Event, Future[None]]] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Start the thread; events that were submitted before are recorded now."""
        self._thread.start()

    def submit(self, event: Event) -> Future[None]:
        """Queue an event; the future is done once it is durable, or holds why it is not.

        Raises:
            Unavailable: `record-overloaded` where too many wait, `record-stopped` after `stop`.
        """
        done: Future[None] = Future()
        with self._changed:
            if not self._open:
                raise Unavailable("record-stopped", "the record of decisions is being closed")
            if len(self._waiting) >= self._max_waiting:
                raise Unavailable(
                    "record-overloaded",
                    "more decisions wait to be recorded than the disk takes",
                    hint="the disk is too slow for this many connections, or hangs",
                )
            self._waiting.append((event, done))
            self._changed.notify()
        return done

    def record(self, event: Event) -> None:
        """Return once the event is durable.

        Raises:
            Unavailable: as `submit`, or what the database raised: the event is not recorded.
            IntegrityError: the database refused the event.
        """
        self.submit(event).result()

    def stop(self) -> None:
        """Take no more events, record those that wait, and end the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        for _, done in self._waiting:  # only where the thread was never started
            done.set_exception(Unavailable("record-stopped", "the record of decisions was closed"))
        self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._open)
                size = min(len(self._waiting), self._max_batch)
                if not size:
                    return
                batch = [self._waiting.popleft() for _ in range(size)]
            # A caller that gave up is left out; the others can no longer cancel.
            self._write([entry for entry in batch if entry[1].set_running_or_notify_cancel()])

    def _write(self, batch: list[tuple[Event, Future[None]]]) -> None:
        try:
            self._work.record([event for event, _ in batch])
        except Unavailable as error:
            for _, done in batch:
                done.set_exception(error)
        except Exception as error:  # noqa: BLE001  # one bad event must not refuse its neighbours
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for entry in batch:
                self._write([entry])
        else:
            for _, done in batch:
                done.set_result(None)
