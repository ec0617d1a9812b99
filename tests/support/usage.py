"""What the processes of a house use, again and again: memory, descriptors, threads, sizes of files; and whether that grows.

Memory is what the processes wrote themselves (anonymous pages, in memory or swapped out; those that processes share count
once). Pages of files are left out: the kernel drops and reads them as it likes. A series is judged by its second half, because
caches fill in the first: a line is fitted to it, and `growth` is what that line rises by within the half. What still fills in
the second half is named where the bound is (docs/design/0114).
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.house import House

PARTS = ("up", "serve", "gateway", "envoy")
FILES: Mapping[str, tuple[str, ...]] = {
    "write-ahead log": ("db/doorward.db-wal",),
    "journal": ("**/connections.journal",),
    "access log": ("gateway/log/*",),
    "logs of Envoy": ("gateway/envoy/**/*.log",),
    "published": ("gateway/published/**/*", "gateway/keys/**/*", "gateway/envoy/**/*.json"),
}
"""Globs below the data directory."""


@dataclass(slots=True)
class Series:
    """One measure over time: seconds since the first sample, and values."""

    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def growth(self) -> float:
        """Return by how much the line through the second half rises within it."""
        half = len(self.values) // 2
        return slope(self.seconds[half:], self.values[half:]) * (self.seconds[-1] - self.seconds[half])

    def middle(self) -> float:
        """Return the mean of the second half."""
        values = self.values[len(self.values) // 2 :]
        return sum(values) / len(values)


def slope(places: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line with the least squares; 0 for one place."""
    mean_place, mean_value = sum(places) / len(places), sum(values) / len(values)
    spread = sum((one - mean_place) ** 2 for one in places)
    both = sum((one - mean_place) * (value - mean_value) for one, value in zip(places, values, strict=True))
    return both / spread if spread else 0.0


@dataclass(slots=True)
class Usage:
    """The series of a house, by what and of whom."""

    house: House
    began: float = field(default_factory=time.monotonic)
    series: dict[tuple[str, str], Series] = field(default_factory=lambda: defaultdict(Series))

    def sample(self) -> None:
        """Take one sample of everything."""
        for part in PARTS:
            pid = self.house.parent.pid if part == "up" and self.house.parent else self.house.pid(part)
            self._note("memory, kB", part, anonymous_kilobytes(pid))
            self._note("descriptors", part, len(list(Path(f"/proc/{pid}/fd").iterdir())))
            self._note("threads", part, len(list(Path(f"/proc/{pid}/task").iterdir())))
        for name, globs in FILES.items():
            sizes = [size_of(one) for glob in globs for one in self.house.data.glob(glob)]
            self._note("files, kB", name, sum(sizes) / 1024)
            self._note("number of files", name, len(sizes))

    def _note(self, what: str, of: str, value: float) -> None:
        series = self.series[what, of]
        series.seconds.append(time.monotonic() - self.began)
        series.values.append(value)

    def report(self) -> None:
        """Print one line for each series."""
        print(f"  {'':38}{'first':>10}{'middle':>10}{'last':>10}{'most':>10}{'growth':>10}")
        for (what, of), one in self.series.items():
            values = one.values
            shown = (values[0], one.middle(), values[-1], max(values), one.growth())
            print(f"  {what:18}{of:20}" + "".join(f"{value:10.1f}" for value in shown))


def anonymous_kilobytes(pid: int) -> int:
    """Return the proportional share of a process in anonymous pages."""
    found = re.findall(
        r"^(?:Pss_Anon|SwapPss):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert len(found) == 2
    return sum(map(int, found))


def size_of(path: Path) -> int:
    """Return the size of a file; 0 if it is gone or is none."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def database_bytes(house: House) -> int:
    """Return how much of the database's pages are in use; its free pages and its reserve are not counted."""
    with house.installation.database.read() as connection:
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {one}").scalar_one())
            for one in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
