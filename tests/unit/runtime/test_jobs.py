"""Jobs: each in its thread, none ends of a bad moment, all end when told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from doorward.core.errors import Unavailable
from doorward.runtime.jobs import Job, Jobs
from tests.support.ports import Impatient


def run(
    work: Callable[[], bool],
    stop: Impatient,
    wait: Callable[[float], object] = lambda _: None,
    **options: float,
) -> None:
    """Run one job until it is stopped."""
    jobs = Jobs([Job(name="test", work=work, seconds=0.25, wait=wait, **options)], stop)
    jobs.start()
    jobs.join(60)
    assert stop.is_set()


def test_a_job_goes_on_as_long_as_there_is_work() -> None:
    """Work that says there is more is done again at once; then the job waits its time."""
    stop, story = Impatient(), []
    answers = iter([True, True, False])

    def work() -> bool:
        story.append("work")
        return next(answers)

    def wait(seconds: float) -> None:
        story.append(f"wait {seconds}")
        stop.set()

    run(work, stop, wait)
    assert story == ["work", "work", "work", "wait 0.25"]


def test_a_job_survives_what_goes_wrong() -> None:
    """Neither an error that was foreseen nor a defect ends it: it pauses and tries again."""
    stop = Impatient()
    troubles: list[Exception | None] = [
        Unavailable("database-unavailable", "away"),
        RuntimeError("defect"),
        None,
    ]
    done: list[int] = []

    def work() -> bool:
        trouble = troubles.pop(0)
        if trouble:
            raise trouble
        done.append(1)
        stop.set()
        return True

    run(work, stop)
    assert done == [1]
    assert stop.waited == [1.0, 1.0]


def test_a_job_survives_a_waiting_that_fails() -> None:
    """A failing wait for a change notification ends no job: it runs again, a second later each time."""
    stop, worked = Impatient(), []

    def work() -> bool:
        worked.append(1)
        if len(worked) == 3:
            stop.set()
        return False

    def wait(_seconds: float) -> None:
        raise ValueError("filedescriptor out of range in select()")

    run(work, stop, wait)
    assert len(worked) == 3
    assert stop.waited == [1.0, 1.0, 1.0]


def test_a_job_with_costly_attempts_waits_longer_each_time() -> None:
    """Failures in a row double the pause up to the job's longest; a success resets it."""
    stop = Impatient()
    fails = iter([True, True, True, True, True, False, True])

    def work() -> bool:
        if (failing := next(fails, None)) is None:
            stop.set()
        elif failing:
            raise Unavailable("database-unavailable", "away")
        return False

    run(work, stop, longest_pause_seconds=8.0)
    assert stop.waited == [1.0, 2.0, 4.0, 8.0, 8.0, 1.0]


def test_a_job_with_endless_work_stops() -> None:
    """Being told to stop counts between two pieces of work too."""
    stop, count = Impatient(), iter(range(100))

    def work() -> bool:
        if next(count) == 5:
            stop.set()
        return True

    run(work, stop)
    assert next(count) == 6


def test_jobs_that_were_never_started_can_be_waited_for() -> None:
    """Where the start failed there is nothing to wait for, and no error hides the reason."""
    Jobs([Job(name="test", work=lambda: False, seconds=1.0, wait=lambda _: None)], threading.Event()).join(1)
