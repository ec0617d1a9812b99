"""Another process holds the database's write lock for seconds, again and again: nothing is lost, open connections go on.

By turns SQLite's own lock, as a tool that somebody runs on the file holds it, and the lock of our processes, as one of them
holds it that was stopped (SIGSTOP). Meanwhile no decision can be recorded: new connections wait, and are refused if that
takes too long. A withdrawal waits too, and either succeeds and is enforced, or fails and says so. After each lock
everybody is served again by itself. At the end the record is complete: not one access line is missing.

LOCKS=4 holds the lock four times; one takes about ten seconds.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.churn import churning
from tests.support.churn_record import check_inventory, check_record, read_record, still_let_in
from tests.support.doorway import eventually, is_root
from tests.support.house import open_house
from tests.support.watching import LiveStream, watching

LOCKS = int(os.environ.get("LOCKS", "20"))
SEED = 20261130
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 9.0
"""A change waits for the lock at most 5 s (`storage.backend.BUSY_TIMEOUT`): some locks are shorter, some longer."""

BACK_SECONDS = 30.0
PAUSE_SECONDS = 2.0

HOLDERS = {
    "SQLite's lock": """
import sqlite3
held = sqlite3.connect(path, timeout=60, isolation_level=None)
held.execute("BEGIN IMMEDIATE")
""",
    "our own lock": """
import fcntl
held = open(path + "-now", "rb+")
fcntl.flock(held, fcntl.LOCK_EX)
""",
}

pytestmark = pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")


@contextmanager
def locked(database: Path, how: str) -> Iterator[None]:
    """Let another process hold a lock of the database until the block ends."""
    code = (
        f"import sys\npath = sys.argv[1]\n{HOLDERS[how]}\nprint('held', flush=True)\nsys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()


@pytest.mark.timeout(600 + 60 * LOCKS)
def test_a_locked_database_loses_nothing() -> None:
    """Open connections go on, everything returns by itself, and the record is complete."""
    dice = random.Random(SEED)
    backs = []
    with open_house() as house:
        with churning(house) as churn:
            stream = LiveStream(house, house.identities["alice"])
            with watching(stream):
                for number in range(LOCKS):
                    how = list(HOLDERS)[number % len(HOLDERS)]
                    with locked(house.installation.layout.database, how):
                        time.sleep(dice.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
                    freed = time.time()
                    assert eventually(lambda at=freed: churn.is_back(at, joining=True), BACK_SECONDS), (  # type: ignore[misc]
                        house.words()
                    )
                    backs.append(time.time() - freed)
                    assert churn.faults == []
                    time.sleep(PAUSE_SECONDS)
            assert not stream.ended, stream.why
        print(f"\n  {LOCKS} locks: everybody was served again after {max(backs):.2f} s at the latest")
        churn.report()
        assert churn.faults == []
        assert all(one.refused == [] for one in churn.kept), [one.refused[:2] for one in churn.kept]
        record = read_record(house)
        assert check_record(churn, record) == 0
        assert still_let_in(churn) == []
        print(f"  {record.events} events, {check_inventory(churn)} certificates; nothing is missing")
