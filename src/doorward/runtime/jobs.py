"""The background jobs of `doorward serve`: sequence events, sign checkpoints, fill orders, refresh CRLs and OCSP answers.

Each job runs in a thread of its own. After a failure it logs the error and tries again. Not here: when something is due
(the use cases decide).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from doorward.core.errors import DoorwardError

PAUSE_SECONDS = 1.0
"""How long a job pauses after a failure, which is often short."""

_log = structlog.get_logger("doorward.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One kind of work.

    `work` returns True if there is more to do at once. `wait` sleeps between two runs, at most so many seconds, and may return
    early (a change notification). After a failure the job pauses for a second, and twice as long after each further failure
    in a row, at most `longest_pause_seconds`.
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
            if thread.ident is not None:  # if an address was in use, no job was started
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
        """Do one part of a job; log every exception, so that none ends the thread."""
        try:
            part()
        except DoorwardError as error:
            _log.error(
                "a job failed and will be tried again", job=job.name, code=error.code, detail=error.detail
            )
        except Exception:  # noqa: BLE001  no exception may end a job
            _log.exception("a job failed and will be tried again", job=job.name)
        else:
            return True
        return False
