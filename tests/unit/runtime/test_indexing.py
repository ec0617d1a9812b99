"""The index of a log in a database: written span by span, made again, used by a search, compared by `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.audit.index import BUCKETS, SPAN_LEAVES
from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.report import LogFaultCode
from doorward.audit.searching import Found, find_mentions
from doorward.audit.verifying import verify_log
from doorward.runtime.indexing import Rebuilt, index_next, rebuild
from doorward.storage.connection import driver_of
from doorward.storage.event_store import SqlEventLog
from doorward.storage.sqlite.database import SqliteDatabase
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER
from tests.support.events import ALICE, BOB, sealed_block
from tests.support.ports import NOON
from tests.support.sql_store import sqlite_database

BLOCK = 1024
SIZE = 2 * SPAN_LEAVES + BLOCK
BOB_AT = SPAN_LEAVES + 3 * BLOCK
"""Where the only block with events of Bob is."""


def _quietly(_done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two spans and a part of a third one, without an index."""
    folder = tmp_path_factory.mktemp("log")
    database = sqlite_database(folder)
    log = SqlEventLog(database)
    for first in range(0, SIZE, BLOCK):
        with log.change() as store:
            who = BOB if first == BOB_AT else ALICE
            store.record_block(sealed_block(*range(first, first + BLOCK), principal=who))
            sequence(store, BLOCK)
    with log.change() as store:
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    path = database.path
    database.close()
    return path


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A copy of it for one test."""
    (tmp_path / made.name).write_bytes(made.read_bytes())
    database = SqliteDatabase(tmp_path / made.name)
    yield database
    database.close()


def test_the_next_span_is_indexed_until_all_are(database: SqliteDatabase) -> None:
    """A search finds the same before, in between and after; the log verifies each time."""
    log = SqlEventLog(database)
    for more in (True, False, False):
        with log.read() as store:
            assert find_mentions(store, BOB, 2) == Found([BOB_AT + BLOCK - 1, BOB_AT + BLOCK - 2])
        assert index_next(log) is more
    with log.read() as store:
        assert store.indexed_spans(99) == 2
        assert len(find_mentions(store, BOB, 9999).numbers) == BLOCK
        assert verify_log(store, verifier_key=VERIFIER, personal=False).verified


def test_what_verify_finds_is_corrected(database: SqliteDatabase) -> None:
    """A hidden id, a removed row and a row too many are reported, and made again from the leaves."""
    log = SqlEventLog(database)
    assert rebuild(log, 0, _quietly) == Rebuilt(SIZE, 2 * SPAN_LEAVES, 2, 0)
    with database.write() as connection:
        driver = driver_of(connection)
        driver.execute("UPDATE log_index SET content = zeroblob(0) WHERE span = 1")
        driver.execute("DELETE FROM log_index WHERE span = 0 AND bucket = 5")
        driver.execute(
            "INSERT INTO log_index SELECT tenant, bucket, 7, content FROM log_index WHERE span = 0"
        )
    with log.read() as store:
        assert find_mentions(store, BOB, 2) == Found([])
        faults = verify_log(store, verifier_key=VERIFIER, personal=False).faults
    assert [one.code for one in faults] == [LogFaultCode.INDEX_ALTERED] * 3
    assert rebuild(log, SPAN_LEAVES, _quietly) == Rebuilt(SIZE, 2 * SPAN_LEAVES, 1, BUCKETS - 1)
    assert rebuild(log, 0, _quietly) == Rebuilt(SIZE, 2 * SPAN_LEAVES, 1, 0)
    with log.read() as store:
        assert len(find_mentions(store, BOB, 9999).numbers) == BLOCK
        assert verify_log(store, verifier_key=VERIFIER, personal=False).verified


def test_an_interrupted_rebuild_leaves_whole_spans(database: SqliteDatabase) -> None:
    """What was indexed stays, and the next run goes on."""

    def interrupt(done: int, total: int) -> None:
        assert (done, total) == (SPAN_LEAVES, 2 * SPAN_LEAVES)
        raise KeyboardInterrupt

    log = SqlEventLog(database)
    with pytest.raises(KeyboardInterrupt):
        rebuild(log, 0, interrupt)
    with log.read() as store:
        assert (store.indexed_spans(99), store.count_excess(0)) == (1, BUCKETS)
    assert rebuild(log, 0, _quietly).written == 1
