"""The machine of a bench: its disk and its processes, as /proc shows them."""

from __future__ import annotations

import gc
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from bench.machine import Others, begun_on, cpu_seconds, family, file_system, process_seconds, version


def test_the_file_system_of_a_path_is_that_of_its_mount() -> None:
    """A folder in memory must be told from one on a disk."""
    assert file_system(Path("/proc/self")) == "proc"


def test_a_process_is_in_its_own_family_and_in_that_of_its_parent() -> None:
    """What a server starts counts as the server's."""
    assert os.getpid() in family(os.getpid())
    assert os.getpid() in family(os.getppid())


def test_a_process_that_ended_used_no_cpu() -> None:
    """A part that is restarted meanwhile does not end the run."""
    assert cpu_seconds([os.getpid()]) > 0
    assert cpu_seconds([0]) == 0


def test_the_cpu_of_threads_that_ended_is_counted_for_their_process() -> None:
    """Issuing is measured with threads that end before the count is read."""
    before, used = process_seconds(os.getpid()), []

    def work() -> None:
        while time.thread_time() < 0.02:
            pass
        used.append(time.thread_time())

    one = threading.Thread(target=work)
    one.start()
    one.join()
    assert process_seconds(os.getpid()) - before >= used[0]


def test_what_threads_of_the_bench_used_before_they_ended_is_not_the_work_of_others() -> None:
    """The clients of OpenBao are such threads: their work was once said to be that of other programs."""
    gc.collect()  # one between the two clocks that are read would count as the work of others
    with (
        patch("bench.machine.core_times", lambda _core: (time.process_time() / 2, time.monotonic())),
        patch("bench.machine.family", lambda *pids: set(pids)),
    ):
        others = Others()

        def work() -> None:
            while time.thread_time() < 0.05:
                pass

        one = threading.Thread(target=work)
        one.start()
        one.join()
        assert others.share() < 0.1


def test_a_service_begun_on_a_core_stays_there_and_the_thread_does_not() -> None:
    """Otherwise the load would come from the measured core as soon as one peer runs."""
    before = os.sched_getaffinity(0)
    core = min(before)

    @contextmanager
    def service() -> Iterator[set[int]]:
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                yield os.sched_getaffinity(process.pid)
            finally:
                process.kill()

    with begun_on(core, service()) as of_service:
        assert of_service == {core}
        assert os.sched_getaffinity(0) == before


def test_a_program_that_is_not_installed_has_no_version() -> None:
    """Then its rows say that it is absent."""
    assert version("no-such-program-here") == ""
