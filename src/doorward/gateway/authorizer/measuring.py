"""What the authorizer counts and measures about connections: by outcome and reason, never by person.

The gateway reports these numbers with its status (`authority.gateways`), and `doorward serve` shows them to Prometheus.
Not here: the form in which they are shown (runtime.metrics).
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)
"""Upper bounds of the histogram's buckets, in seconds; one more bucket has everything above. Envoy waits 5 s."""

MOST_REASONS = 100
"""Reasons are codes of ours, fewer than this; any further one is counted as `other`, so the status stays small."""

ALLOWED, ANONYMOUS = "allowed", "anonymous"
_OTHER = "other"


class Step(Enum):
    """A step of the authorizer that is measured."""

    JUDGE = "judge"
    ENFORCE = "await-policy"
    RECORD = "record"
    WHOLE = "whole"


class ConnectionMeter:
    """Counts since the start of the gateway; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._steps = {step: [0] * (len(BOUNDS) + 1) for step in Step}
        self._sums = dict.fromkeys(Step, 0.0)

    def count(self, reason: str, number: int = 1) -> None:
        """Count answered connections: `allowed`, `anonymous`, or the first reason of a refusal."""
        with self._lock:
            if reason not in self._counts and len(self._counts) >= MOST_REASONS:
                reason = _OTHER
            self._counts[reason] = self._counts.get(reason, 0) + number

    @contextmanager
    def measure(self, step: Step) -> Iterator[None]:
        """Measure the wall-clock time of a step, also if it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.note(step, time.perf_counter() - began)

    def note(self, step: Step, seconds: float, number: int = 1) -> None:
        """Note how long a step took for each of `number` connections."""
        place = bisect_left(BOUNDS, seconds)
        with self._lock:
            self._steps[step][place] += number
            self._sums[step] += seconds * number

    def report(self) -> Mapping[str, Any]:
        """Return the numbers as JSON values; the counts of a bucket do not include those of the buckets below it."""
        with self._lock:
            return {
                "answers": dict(self._counts),
                "steps": {
                    step.value: {"buckets": list(buckets), "sum": round(self._sums[step], 6)}
                    for step, buckets in self._steps.items()
                },
            }
