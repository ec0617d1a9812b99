"""The event store over SQL keeps the contract that the fake keeps, on every kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from doorward.audit.index import BUCKETS
from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.searching import find_mentions
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from doorward.storage import event_segments
from doorward.storage.backend import Database
from doorward.storage.connection import core_of
from doorward.storage.event_store import SqlEventLog, SqlEventStore
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, EventStoreContract
from tests.support.events import ALICE, request_answered, seal, sealed_block
from tests.support.ports import NOON
from tests.support.refusals import refused


class TestSqlEventStore(EventStoreContract):
    """The contract, over SQL."""

    @pytest.fixture
    def store(self, database: Database) -> Iterator[SqlEventStore]:
        """An empty store inside one open transaction."""
        with SqlEventLog(database).change() as store:
            yield store


def test_the_log_is_changed_durably_and_read_without_writing(database: Database) -> None:
    """A reader sees a committed change of the log, and cannot write."""
    log = SqlEventLog(database)
    with log.change() as store:
        store.record(seal(request_answered(1)))
    with log.read() as store:
        assert len(store.pending(10)) == 1
        with pytest.raises(RuntimeError, match="cannot write"):
            store.record(seal(request_answered(2)))


def test_the_sequencer_knows_whether_an_event_waits(database: Database) -> None:
    """One row of the outbox tells it, an event or a block; after the round there is none."""
    with SqlEventLog(database).change() as store:
        assert not store.has_waiting()
        store.record_block(sealed_block(1, 2))
        assert (store.has_waiting(), store.waiting()) == (True, 2)
        sequence(store, 99)
        assert (store.has_waiting(), store.waiting()) == (False, 0)


def _record_quietly(database: Database) -> None:
    """Fill a log as in a quiet installation: blocks of one or two events, single events between them."""
    with SqlEventLog(database).change() as store:
        for number in range(0, 30, 3):
            store.record_block(sealed_block(number, number + 1))
            if number % 2:
                store.record(seal(request_answered(number + 2)))
            sequence(store, 99)
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)


def _join(store: SqlEventStore) -> list[tuple[bool, int]]:
    start, looks = 0, []
    while not looks or looks[-1][0]:
        looks.append(store.join_segments(start))
        start = looks[-1][1]
    return looks


def test_small_segments_are_joined(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining changes no leaf, no hash and no opening, and every segment that fits into its neighbour is gone."""
    monkeypatch.setattr(event_segments, "SEGMENT_EVENTS", 9)
    _record_quietly(database)
    log = SqlEventLog(database)
    with log.read() as store:
        leaves, openings = list(store.leaves(0, 99)), list(store.openings(0, 99))
        mentions = find_mentions(store, ALICE, 99)
    with log.change() as store:
        assert _join(store) == [(True, 0), (True, 10), (True, 20), (False, 20)]
    with log.read() as store:
        assert list(store.leaves(0, 99)) == leaves
        assert list(store.leaves(3, 11)) == leaves[3:11]
        assert list(store.openings(0, 99)) == openings
        assert len(mentions.numbers) == 25
        assert find_mentions(store, ALICE, 99) == mentions
        assert verify_log(store, verifier_key=VERIFIER).verified
        assert store.join_segments(20) == (False, 20)
        assert store.join_segments(99) == (False, 99)


def test_a_damaged_segment_is_not_joined(database: Database) -> None:
    """If one of them cannot be read, nothing is rewritten, so what is left of it can be examined."""
    _record_quietly(database)
    log = SqlEventLog(database)
    with database.write() as connection:
        core_of(connection).execute(text("UPDATE log_segments SET leaves = :x WHERE first = 2"), {"x": b"x"})
    with refused(IntegrityError, "block-damaged"), log.change() as store:
        store.join_segments(0)
    with log.read() as store:
        assert len(list(store.leaves(0, 99))) == 23


def test_the_index_is_stored_by_bucket_and_span(database: Database) -> None:
    """Spans come the newest first; rows that no log has are counted and removed."""
    log = SqlEventLog(database)
    with log.change() as store:
        assert (store.indexed_spans(9), store.count_excess(0), store.index_span(0)) == (0, 0, {})
        for span in range(3):
            store.store_index(span, [bytes([span, bucket]) for bucket in range(BUCKETS)])
        store.store_index(1, [bytes([9, bucket]) for bucket in range(BUCKETS)])
    with log.read() as store:
        assert [store.indexed_spans(below) for below in (0, 1, 2, 3, 9)] == [0, 1, 2, 3, 3]
        assert list(store.index_bucket(7, 9)) == [(2, b"\2\7"), (1, b"\x09\7"), (0, b"\0\7")]
        assert list(store.index_bucket(7, 2)) == [(1, b"\x09\7"), (0, b"\0\7")]
        assert store.index_span(1) == {bucket: bytes([9, bucket]) for bucket in range(BUCKETS)}
    row = "INSERT INTO log_index (tenant, bucket, span, content) VALUES (:tenant, :bucket, :span, :content)"
    foreign = [(-1, 0), (BUCKETS, 1), (3, -1)]
    with database.write() as connection:
        for bucket, span in foreign:
            core_of(connection).execute(
                text(row), {"tenant": TENANT, "bucket": bucket, "span": span, "content": b""}
            )
    with log.change() as store:
        assert list(store.index_bucket(3, 1)) == [(0, b"\0\3")]
        assert store.count_excess(0) == 3 * BUCKETS + len(foreign)
        assert store.drop_index(2) == BUCKETS + len(foreign)
        assert store.count_excess(0) == 2 * BUCKETS
