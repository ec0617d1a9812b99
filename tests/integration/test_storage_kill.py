"""A killed writer loses no committed change, and leaves no part of another."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ports import NOON
from tests.support.records import opaque, principal
from tests.support.sql_store import child, database_at, sql_work

WRITER = """
number = 0
while True:
    number += 1
    with work.change() as stores:
        stores.directory.add(principal(f"{sys.argv[0]}-{time.monotonic_ns()}"), NOON)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
        stores.outbox.add(request_answered(seq))
    print(seq, flush=True)
"""
MANY = """
import threading
def write(name):
    while True:
        with work.change() as stores:
            stores.directory.add(principal(f"{name}-{time.monotonic_ns()}"), NOON)
            seq = stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
            stores.outbox.add(request_answered(seq))
        sys.stdout.write(f"{seq}\\n"); sys.stdout.flush()
for name in range(6):
    threading.Thread(target=write, args=(name,), daemon=True).start()
threading.Event().wait()
"""
HALF = """
with work.change() as stores:
    for number in range(2000):
        stores.certificates.add_intended(certificate(number))
    stores.changes.note(ChangeKind.CERTIFICATE, "crt_one", NOON)
    print("inside", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("code", [WRITER, MANY], ids=["one-by-one", "shared-commits"])
def test_acknowledged_changes_are_stored(place: Path | str, code: str) -> None:
    """After kill -9 every acknowledged change is stored with its number and its event, without gaps."""
    database = database_at(place)
    work = sql_work(database)
    for turn in range(1, 4):
        process = child(place, code)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(25 * turn)]
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        process.stdout.close()
        with work.read() as stores:
            head = stores.changes.head()
            assert head >= max(told)
            assert [change.seq for change in stores.changes.since(0, 100_000)] == list(range(1, head + 1))
            assert len(stores.directory.list()) == head
            assert stores.outbox.waiting() == head
    database.close()
    if not isinstance(place, Path):
        return
    with closing(sqlite3.connect(place / "doorward.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_uncommitted_changes_are_lost(place: Path | str) -> None:
    """A process that is killed within a change leaves nothing of it, and the next process can write at once."""
    database = database_at(place)
    work = sql_work(database)
    process = child(place, HALF)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with work.change() as stores:
        assert stores.certificates.counts()["intended"] == 0
        assert stores.changes.head() == 0
        stores.directory.add(principal("alice"), NOON)
    with work.read() as stores:
        assert stores.directory.get(opaque("per", "alice")) is not None
    database.close()
