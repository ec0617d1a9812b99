"""A process that checks ranges of the log for `verify_processes`: one connection and one snapshot of its own.

Standard input gives pickled values: first the address and the path of the database and the plan, then the start of one range
after another. Standard output gives a pickled `CheckedRange` for each, or a `Failure`, after which the process ends. Both
ends are the same program of the same user. The process ends if standard input does, also because its parent was killed.
"""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import closing
from typing import BinaryIO

from doorward.audit.range_check import check_range
from doorward.core.errors import DoorwardError
from doorward.runtime.verify_processes import Failure
from doorward.storage.event_store import SqlEventLog
from doorward.storage.opening import open_database


def main() -> None:
    """Check ranges until standard input ends."""
    results_fd = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the results
    with os.fdopen(results_fd, "wb") as results:
        try:
            _work(sys.stdin.buffer, results)
        except DoorwardError as error:
            failure = Failure(type(error), error.code, error.detail, error.hint, error.context)
            pickle.dump(failure, results)


def _work(tasks: BinaryIO, results: BinaryIO) -> None:
    address, path, plan = pickle.load(tasks)  # noqa: S301  from our parent
    with closing(open_database(address, path, one_shot=True)) as database:
        while (start := _next(tasks)) is not None:
            # one snapshot for a range, so that a long verification keeps no old rows
            with SqlEventLog(database).read() as store:
                done = check_range(store, plan, start)
            try:
                pickle.dump(done, results)
                results.flush()
            except BrokenPipeError:
                os._exit(1)  # the parent is gone; closing `results` would fail again


def _next(tasks: BinaryIO) -> int | None:
    try:
        start: int = pickle.load(tasks)  # noqa: S301  from our parent
    except EOFError:
        return None
    return start


if __name__ == "__main__":
    main()
