"""`audit reindex` and `audit erase` that are killed: the log verifies, and the same command again completes the work."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from doorward.audit.index import SPAN_LEAVES
from doorward.audit.log import sequence
from doorward.audit.verifying import verify_log
from doorward.storage.event_store import SqlEventLog
from doorward.storage.sqlite.database import SqliteDatabase
from tests.support.commands import SOURCE, run_python
from tests.support.doorway import short_folder
from tests.support.events import ALICE, sealed_block

BLOCK = 1024
SPANS = 3
SMALL = 600
"""Blocks of two events each; one transaction of an erasure takes the personal values of 100 blocks."""


class Killed:
    """An installation with a large log, and commands on it that are killed."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        (folder / "passphrase").write_text("a passphrase of this test\n")
        (folder / "passphrase").chmod(0o600)
        self._environment = {
            **os.environ,
            "PYTHONPATH": SOURCE,
            "DOORWARD_DATA": str(self._data),
            "DOORWARD_PASSPHRASE_FILE": str(folder / "passphrase"),
        }
        self.run("init", "--trust-domain", "corp.example")
        self.path = next(self._data.rglob("doorward.db"))

    def run(self, *words: str) -> None:
        """Run a command to its end, which must be good."""
        result = run_python("-m", "doorward.cli", *words, env=self._environment)
        assert result.returncode == 0, result.stderr

    def kill(self, *words: str, at_change_of: str) -> None:
        """Run a command, and kill it when a number from the database changes, if it has not ended before."""
        before = self.count(at_change_of)
        process = subprocess.Popen(
            [sys.executable, "-m", "doorward.cli", *words],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and self.count(at_change_of) == before:
            time.sleep(0.002)
        process.kill()  # nothing happens if it has ended
        process.wait()

    def count(self, statement: str) -> int:
        """Return a number from the database, by a reader that holds nothing afterwards."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as raw:
            return int(raw.execute(statement).fetchone()[0])

    def check(self) -> tuple[int, int]:
        """The log has no fault; return how many spans are indexed, and how many personal values there are."""
        with closing(SqliteDatabase(self.path)) as database, SqlEventLog(database).read() as store:
            report = verify_log(store)
            assert report.faults == ()
            return store.indexed_spans(SPANS), report.opened


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    """The installation; both tests use it, and none needs what the other one changes."""
    with short_folder() as folder:
        made = Killed(folder)
        with closing(SqliteDatabase(made.path)) as database:
            first = 0
            for size in [BLOCK] * (SPANS * SPAN_LEAVES // BLOCK) + [2 * SMALL]:
                with SqlEventLog(database).change() as store:
                    for start in range(first, first + size, size if size == BLOCK else 2):
                        end = start + (size if size == BLOCK else 2)
                        store.record_block(sealed_block(*range(start, end), principal=ALICE))
                    while sequence(store, 4096):
                        pass
                first += size
        yield made


def test_a_killed_reindex_is_done_again(killed: Killed) -> None:
    """Killed after any span, `audit reindex` leaves whole spans only; the next one indexes all of them."""
    rows = "SELECT count(*) FROM log_index"
    for spans in range(SPANS):
        killed.kill("audit", "reindex", at_change_of=rows)
        killed.check()
        assert killed.count(rows) % 128 == 0
        if spans == 1:  # what is indexed wrongly is corrected, also if the correction is killed
            with closing(sqlite3.connect(killed.path)) as raw:
                raw.execute("DELETE FROM log_index")
                raw.commit()
    killed.run("audit", "reindex")
    assert killed.check()[0] == SPANS


def test_a_killed_erasure_is_done_again(killed: Killed) -> None:
    """Killed between its transactions, `audit erase` leaves a log that verifies; the next one erases the rest, and its remains."""
    rows = f"SELECT count(*) FROM log_block_openings WHERE subject = '{ALICE}'"
    words = ("audit", "erase", "--person", ALICE, "--yes")
    _, values = killed.check()
    for _ in range(3):
        killed.kill(*words, at_change_of=rows)
        assert killed.check()[1] <= values
    killed.run(*words)
    assert killed.count(rows) == 0
    assert killed.check()[1] < values
    assert not killed.path.with_name(f"{killed.path.name}-erased").exists()
    content = b"".join(path.read_bytes() for path in killed.path.parent.glob(f"{killed.path.name}*"))
    assert b"/accounts/" not in content
