"""A wall clock that a test can step for the processes of a house, while their monotonic clock goes on.

    clock = SteppedClock(folder)
    with open_house(environment=clock.environment) as house:
        clock.step(minutes=3)       # for `up`, `serve` and `gateway`

Envoy gets an environment of its own, and keeps the machine's time. This process keeps it too.
"""

from __future__ import annotations

import struct
import subprocess
from datetime import timedelta
from pathlib import Path

SOURCE = Path(__file__).with_name("stepped_clock.c")


class SteppedClock:
    """The clock; `offset` is how far it is ahead of the machine's.

    Args:
        folder: for the library and the file of the offset; every user must be able to reach it.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "stepped_clock.so"
        self._file = folder / "offset"
        self.offset = timedelta(0)
        command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC"]
        subprocess.run([*command, str(SOURCE), "-o", str(self._library)], check=True)
        self.step()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the processes."""
        return {"LD_PRELOAD": str(self._library), "STEPPED_CLOCK": str(self._file)}

    def step(self, **by: float) -> None:
        """Step it forward, or back, by what `timedelta` takes."""
        self.offset += timedelta(**by)
        value = struct.pack("=q", round(self.offset.total_seconds() * 1e9))
        if self._file.exists():  # in its place: the processes have it mapped
            with self._file.open("r+b") as file:
                file.write(value)
        else:
            self._file.write_bytes(value)
