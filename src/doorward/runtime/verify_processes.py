"""Checking the ranges of the log in several processes, for `doorward audit verify` on all cores.

Processes and not threads, because Python runs one thread at a time. They are new programs and not forks: SQLite's locks and a
connection to PostgreSQL must not be inherited. Each opens its own connection; a range is checked in one snapshot, and
all ranges up to the length that the log had at the start. The log only grows, so every snapshot has that length.

A process that ends or fails makes verifying fail. A range that was not checked is never taken for a good one:
`verify_log` requires every range too.

Not here: the checks (`audit.range_check`), the process (`range_worker`).
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from doorward.audit.range_check import CheckedRange, RangePlan
from doorward.core.errors import DoorwardError, Unavailable

SMALL_LOG = 50_000
"""Leaves that are checked in this process: starting others takes as long as they would save."""
MOST_PROCESSES = 64
"""Each needs a connection and about 60 MB."""
_AHEAD = 4
"""Ranges for each process that may be checked before an earlier one is; their results wait in memory."""
_LAST_WORDS_SECONDS = 10
"""For the code of a process that has closed its output; `end` kills what does not end."""
_WORKER = (sys.executable, "-P", "-m", "doorward.runtime.range_worker")


class Failure(NamedTuple):
    """An error that ended the work, in the parts of `DoorwardError`."""

    kind: type[DoorwardError]
    code: str
    detail: str
    hint: str
    context: dict[str, Any]

    def build(self) -> DoorwardError:
        """Return the error."""
        return self.kind(self.code, self.detail, hint=self.hint, **self.context)


def count_cores() -> int:
    """Return how many processes are useful: the cores that this process may use, at most `MOST_PROCESSES`."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


class RangeProcesses:
    """Processes that check ranges, as `audit.verifying.RangeChecker`; they end with the `with` block.

    Args:
        address: of the database server, empty for SQLite.
        path: of the database file.
        count: how many processes.
        command: the program of a process.
    """

    def __init__(self, address: str, path: Path, count: int, *, command: Sequence[str] = _WORKER) -> None:
        self._database, self._count, self._command = (address, path), count, command
        self._processes: list[_Worker] = []

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that were started."""
        return [one.pid for one in self._processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._processes:
            one.end()
        self._processes = []

    def __call__(self, plan: RangePlan) -> Iterator[CheckedRange]:
        """Yield the results of all ranges, in order.

        Raises:
            Unavailable: `verify-interrupted`: a process ended before its work; and what `range_check` raises.
        """
        starts = plan.starts()
        waiting, done = deque(starts), dict[int, CheckedRange]()
        for _ in range(min(self._count, len(starts))):
            self._processes.append(_Worker(self._command))
            self._processes[-1].send((*self._database, plan))
        idle = list(self._processes)
        with selectors.DefaultSelector() as selector:
            for one in self._processes:
                selector.register(one.results, selectors.EVENT_READ, one)
            for expected in starts:
                last = expected + _AHEAD * len(self._processes) * starts.step
                while expected not in done:
                    while idle and waiting and waiting[0] < last:
                        idle.pop().send(waiting.popleft())
                    for key, _ in selector.select():
                        result = key.data.receive()
                        done[result.start] = result
                        idle.append(key.data)
                yield done.pop(expected)


class _Worker:
    """One process; it has at most one range at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        # In a session of its own: Ctrl-C is for this process, which ends the others.
        self._process = subprocess.Popen(  # noqa: S603  our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def results(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def send(self, value: object) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(value, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> CheckedRange:
        try:
            result = pickle.load(self.results)  # noqa: S301  from our own process
        except (EOFError, pickle.UnpicklingError):
            raise self._ended() from None
        if isinstance(result, Failure):
            raise result.build()
        if not isinstance(result, CheckedRange):
            raise TypeError(f"a process that checks the log returned {type(result).__name__}")
        return result

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.results.close()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # something that the process did not read
            self._process.stdin.close()

    def _ended(self) -> Unavailable:
        try:
            code: int | None = self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        return Unavailable(
            "verify-interrupted",
            f"a process that checks a part of the log ended (code {code}); the log is not verified",
            hint="run the command again; if there is too little memory, with --jobs 1",
        )
