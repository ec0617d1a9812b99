"""After an erasure no byte of a value or of its salt is in the database's files."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from doorward.audit.block import BlockBuilder
from doorward.audit.events import Event, EventType, Retention, build_event
from doorward.audit.leaf import seal_event
from doorward.audit.log import sequence
from doorward.core.entities import TENANT
from doorward.storage.connection import driver_of
from doorward.storage.event_store import SqlEventLog
from doorward.storage.sqlite.database import SqliteDatabase
from tests.support.events import ALICE, BOB
from tests.support.ports import NOON
from tests.support.sql_store import sqlite_database

ROUNDS = 120


def _event(number: int, who: str, path: str) -> Event:
    return build_event(
        id=f"evt_{number:020d}",
        type=EventType.REQUEST_ANSWERED,
        at=NOON,
        tenant=TENANT,
        actor=who,
        data={"gateway": "gtw_0123456789abcdefghij", "method": "GET", "status": 200, "principal": who},
        personal={"path": path, "source": "203.0.113.9"},
    )


def _fill(log: SqlEventLog) -> list[str]:
    """Record single events and blocks of Alice and Bob in turn; return Alice's paths."""
    paths = []
    for first in range(0, 10 * ROUNDS, 10):
        texts = [f"/letters/{secrets.token_hex(16)}" for _ in range(10)]
        paths += texts[:5]
        events = [
            _event(first + place, ALICE if place < 5 else BOB, path) for place, path in enumerate(texts)
        ]
        builder = BlockBuilder(TENANT, Retention.ACCESS, NOON, iter(lambda: secrets.token_bytes(32), b""))
        for event in events[1:9]:
            builder.seal(event)
        with log.change() as store:
            store.record(seal_event(events[0], secrets.token_bytes(32)))
            store.record_block(builder.build())
            store.record(seal_event(events[9], secrets.token_bytes(32)))
            sequence(store, 99)
    return paths


def _salts(database: SqliteDatabase) -> list[bytes]:
    """Return the salts of single events and the seeds of blocks about Alice."""
    with database.read() as connection:
        driver = driver_of(connection)
        singles = driver.execute("SELECT salt FROM log_openings WHERE subject = ?", (ALICE,)).fetchall()
        blocks = driver.execute(
            "SELECT content FROM log_block_openings WHERE subject = ?", (ALICE,)
        ).fetchall()
    return [bytes(row[0]) for row in singles] + [bytes(row[0][:32]) for row in blocks]


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def _erase(database: SqliteDatabase, log: SqlEventLog) -> int:
    """Erase Alice's values; before each transaction, a job of another process looks for remains."""
    job = sqlite_database(database.path.parent)
    total = 0
    with database.erasing():
        while True:
            job.maintain()
            with log.change() as store:
                found = store.erase_subject(TENANT, ALICE)
            total += found
            if not found:
                job.close()
                return total


@pytest.mark.parametrize("held", [False, True], ids=["no reader", "a reader"])
def test_no_byte_of_an_erased_value_is_left(tmp_path: Path, *, held: bool) -> None:
    """Neither in pages, nor in free pages, nor in the write-ahead log; a reader delays this, and it is done later."""
    database = sqlite_database(tmp_path)
    log = SqlEventLog(database)
    paths = _fill(log)
    salts = _salts(database)
    raw = _bytes(tmp_path)
    assert [one for one in salts if one in raw]
    assert paths[0].encode() in raw
    if held:
        with log.read() as store:
            store.tree_size()
            assert _erase(database, log) == 10 * ROUNDS
            assert not database.remove_remains()
        assert [one for one in salts if one in _bytes(tmp_path)]
        database.maintain()
    else:
        assert _erase(database, log) == 10 * ROUNDS
        assert database.remove_remains()
    raw = _bytes(tmp_path)
    assert not [one for one in salts if one in raw]
    assert not [one for one in paths if one.encode() in raw]
    assert not list(tmp_path.glob("*-erased"))
    database.close()
