"""Refusals while the machine stood still: after its full waiting time, such a refusal is no fault of the door.

The door fails closed. It refuses a connection if Envoy does not enforce the policy of its judgement in time, or if the
disk does not take its record. If other programs take the processors or the disk for seconds, this happens to bystanders
too. It is excused only if both are seen: the door waited as long as it may, and a sync of the same disk, or a
publication, took many times its usual time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from doorward.gateway.authorizer.judging import GATE_SECONDS
from tests.support.watching import Sighting

SLOW_SECONDS = 1.0
"""A sync takes some milliseconds, a publication 0.2 to 0.4 s."""

PERIOD_SECONDS = 0.1

Span = tuple[float, float]
"""Began and ended, seconds of the machine's clock."""


class DiskWatch:
    """Pauses, writes a byte and syncs it, again and again in a thread; `spans` is when each try began and ended."""

    def __init__(self, folder: Path) -> None:
        self.spans: list[Span] = []
        self._file = folder / "disk-watch"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        with self._file.open("wb", buffering=0) as file:
            while not self._stop.is_set():
                began = time.time()  # before the pause: processors that stand still are seen as well
                self._stop.wait(PERIOD_SECONDS)
                file.write(b"x")
                os.fsync(file.fileno())
                self.spans.append((began, time.time()))


def unexcused(refused: Sequence[Sighting], spans: Iterable[Span]) -> list[Sighting]:
    """Return the refusals that a machine at a standstill does not explain.

    Args:
        refused: by whom nothing was lost.
        spans: of syncs and publications.
    """
    slow = [(began, ended) for began, ended in spans if ended - began >= SLOW_SECONDS]
    return [
        one
        for one in refused
        if one.arrived - one.began < GATE_SECONDS
        or not any(began < one.arrived and one.began < ended for began, ended in slow)
    ]
