"""The machine of a run: its two cores, its disk, the CPU and memory of processes, versions of the peers.

Everything that is measured runs on one core; the generator of load and the application behind the door run on
the other. CPU times are the kernel's own counts of nanoseconds (`schedstat`), so that a process on another core or
another program on this machine does not change them.
"""

from __future__ import annotations

import compileall
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

MEASURED, REST = 0, 1
ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
"""Ignored by git; on the disk of the checkout."""

T = TypeVar("T")
_IN_MEMORY = {"tmpfs", "ramfs", "overlay-on-tmpfs"}


def check_machine() -> None:
    """End the run if there are not two cores, or if the checkout is not on a disk."""
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("bench: two cores are needed: one is measured, the other one makes the load")
    CACHE.mkdir(parents=True, exist_ok=True)
    if file_system(CACHE) in _IN_MEMORY:
        raise SystemExit(
            f"bench: {CACHE} is in memory; the checkout must be on a disk, for fsync to cost what it costs"
        )


def compile_sources() -> None:
    """Compile our modules, as an installation of the package does; where the environment forbids it, each command would compile them."""
    compileall.compile_dir(ROOT / "src", quiet=2)


def file_system(path: Path) -> str:
    """Return the type of the file system of a path, such as `ext4`, as /proc/self/mounts names it."""
    found = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        if path.is_relative_to(place.encode().decode("unicode_escape")) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def sync_milliseconds(folder: Path) -> float:
    """Return the median time that a small write to the disk of a folder takes until it is durable."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"d" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let this thread, and the processes that it starts in the block, run on one core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def begun_on(core: int, service: AbstractContextManager[T]) -> Iterator[T]:
    """Enter `service` on one core: the processes that it starts stay there, and this thread goes back to its own cores at once."""
    with ExitStack() as stack:
        with on_core(core):
            entered = stack.enter_context(service)
        yield entered


def family(*pids: int) -> set[int]:
    """Return these processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(words[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += children.get(one, ())
    return found


def cpu_by_thread(pids: Mapping[str, Collection[int]]) -> Counter[str]:
    """Return the seconds of CPU of each thread so far, by `process: thread`; threads of one name are added.

    Args:
        pids: by the name of the process that the table shall show.
    """
    used: Counter[str] = Counter()
    for process, ids in pids.items():
        for pid in ids:
            for task in Path(f"/proc/{pid}/task").glob("*"):
                try:
                    name = re.sub(r"[_:-]?\d+$", "", (task / "comm").read_text().strip())
                    used[f"{process}: {name}"] += int((task / "schedstat").read_text().split()[0]) / 1e9  # type: ignore[assignment]  # the stubs want int
                except (OSError, IndexError):
                    continue  # the thread ended
    return used


def cpu_seconds(pids: Collection[int]) -> float:
    """Return the seconds of CPU of processes so far."""
    return sum(cpu_by_thread({"all": pids}).values())


def process_seconds(*pids: int) -> float:
    """Return the seconds of CPU of processes so far, those of their threads that ended included; 0 for a process that has ended."""
    used = 0.0
    for pid in pids:
        with suppress(OSError):
            # The clock that clock_getcpuclockid(3) gives for a process.
            used += time.clock_gettime(~pid << 3 | 2)
    return used


def core_times(core: int) -> tuple[float, float]:
    """Return the seconds for which a core was busy, and all its seconds; only differences mean something."""
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{core}":
            ticks = [int(one) for one in words[1:9]]
            hertz = os.sysconf("SC_CLK_TCK")
            return (sum(ticks) - ticks[3] - ticks[4]) / hertz, sum(ticks) / hertz
    raise LookupError(f"no core {core}")


class Others:
    """What other programs use of the two cores, from the making of this on."""

    def __init__(self) -> None:
        self._began = self._now()

    def share(self) -> float:
        """Return the share of both cores that neither the bench nor a process below it has used."""
        busy, whole, own = (now - before for now, before in zip(self._now(), self._began, strict=True))
        return max(0.0, busy - own) / max(whole, 0.01)

    def _now(self) -> tuple[float, float, float]:
        times = [core_times(core) for core in (MEASURED, REST)]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = process_seconds(*family(os.getpid())) + ended.ru_utime + ended.ru_stime
        return sum(busy for busy, _ in times), sum(whole for _, whole in times), own


def pss_mb(pid: int) -> float | None:
    """Return the memory of a process in MB, shared pages in shares; None if this user may not read it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 / 1e6 if found else None


def version(*command: str) -> str:
    """Return the first dotted number that a program prints of itself; empty if it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    found = re.search(r"\d+\.\d+[\w.+~-]*", done.stdout + done.stderr)
    return found.group() if found else ""
