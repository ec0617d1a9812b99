"""What `doorward serve` does by itself: sequence events, sign checkpoints, fill orders, keep the status fresh.

Not here: any rule about when something is due (the use cases say so). Each job runs in a thread of
its own and survives its own failures: it says what went wrong and tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from doorward.core.errors import DoorwardError

PAUSE_SECONDS = 1.0
"""How long a job pauses after a failure: what was away for a moment is there again soon."""

_log = structlog.get_logger("doorward.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One kind of work.

    `work` returns True where there is more to do at once; `wait` sleeps between two looks, at most
    that many seconds, and may return early (a change notification). After a failure it pauses for a second,
    and twice as long after each further one in a row, at most `longest_pause_seconds`.
    """

    name: str
    work: Callable[[], bool]
    seconds: float
    wait: Callable[[float], object]
    longest_pause_seconds: float = PAUSE_SECONDS


class Jobs:
    """Runs jobs until `stop`."""

    def __init__(self, jobs: list[Job], stop: threading.Event) -> None:
        self._stop = stop
        self._threads = [
            threading.Thread(target=self._run, args=(job,), name=f"job-{job.name}", daemon=True)
            for job in jobs
        ]

    def start(self) -> None:
        """Start every job."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the jobs to end, after `stop` was set."""
        for thread in self._threads:
            if thread.ident is not None:  # where an address was in use, none was started
                thread.join(timeout_seconds)

    def _run(self, job: Job) -> None:
        pause = PAUSE_SECONDS
        while not self._stop.is_set():
            failed = not self._succeeds(job, lambda: self._work(job))
            if failed:
                self._stop.wait(pause)
            pause = min(2 * pause, job.longest_pause_seconds) if failed else PAUSE_SECONDS
            if not self._succeeds(job, lambda: job.wait(job.seconds)):
                self._stop.wait(PAUSE_SECONDS)

    def _work(self, job: Job) -> None:
        while job.work() and not self._stop.is_set():
            pass

    def _succeeds(self, job: Job, part: Callable[[], object]) -> bool:
        """Do one part of a job; whatever it raises is said, and ends no thread."""
        try:
            part()
        except DoorwardError as error:
            _log.error(
                "a job failed and will be tried again", job=job.name, code=error.code, detail=error.detail
            )
        except Exception:  # noqa: BLE001  a job must not die of one bad moment
            _log.exception("a job failed and will be tried again", job=job.name)
        else:
            return True
        return False
