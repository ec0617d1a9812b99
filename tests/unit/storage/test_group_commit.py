"""Decisions are made durable many at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from doorward.audit.events import Event
from doorward.core.errors import IntegrityError, Unavailable
from doorward.storage.group_commit import GroupCommitter
from tests.support.events import request_answered
from tests.support.memory_store import MemoryUnitOfWork


class WatchedWork(MemoryUnitOfWork):
    """Remembers the batches, and may hold the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def record(self, events: Sequence[Event]) -> None:
        """Note the batch, wait at the gate, and record it."""
        self.batches.append(len(events))
        self.entered.set()
        assert self.gate.wait(20)
        super().record(events)


@pytest.fixture
def work() -> WatchedWork:
    """An empty store."""
    return WatchedWork()


def test_an_event_is_durable_when_record_returns(work: WatchedWork) -> None:
    """`record` returns after the event was committed."""
    committer = GroupCommitter(work)
    committer.start()
    committer.record(request_answered(1))
    assert [event.id for event in work.events] == [request_answered(1).id]
    committer.stop()


def test_what_waits_is_one_batch(work: WatchedWork) -> None:
    """Events that came while one was being written are written together, in order, up to the limit."""
    committer = GroupCommitter(work, max_batch=4)
    work.gate.clear()
    committer.start()
    first = committer.submit(request_answered(0))
    assert work.entered.wait(20)
    rest = [committer.submit(request_answered(number)) for number in range(1, 8)]
    assert not first.done()
    work.gate.set()
    for future in (first, *rest):
        future.result(20)
    assert work.batches == [1, 4, 3]
    assert [event.id for event in work.events] == [request_answered(number).id for number in range(8)]
    committer.stop()


def test_the_queue_is_bounded(work: WatchedWork) -> None:
    """One event too many is refused at once; those that wait are not lost."""
    committer = GroupCommitter(work, max_waiting=2)
    futures = [committer.submit(request_answered(number)) for number in range(2)]
    with pytest.raises(Unavailable) as caught:
        committer.submit(request_answered(2))
    assert caught.value.code == "record-overloaded"
    committer.start()
    committer.stop()
    assert [future.result(0) for future in futures] == [None, None]


def test_a_database_that_is_away_refuses_the_batch(work: WatchedWork) -> None:
    """Nobody is told that an event is durable while the database is away; later ones are."""
    committer = GroupCommitter(work)
    committer.start()
    work.broken = Unavailable("store-full", "full")
    with pytest.raises(Unavailable) as caught:
        committer.record(request_answered(1))
    assert caught.value.code == "store-full"
    work.broken = None
    committer.record(request_answered(2))
    committer.stop()


def test_one_bad_event_does_not_refuse_its_neighbours(work: WatchedWork) -> None:
    """Where the database refuses an event, the others of its batch are recorded one by one."""
    work.record([request_answered(1)])
    committer = GroupCommitter(work)
    futures = [committer.submit(request_answered(number)) for number in (0, 1, 2)]
    committer.start()
    committer.stop()
    assert isinstance(futures[1].exception(0), IntegrityError)
    assert [futures[0].result(0), futures[2].result(0)] == [None, None]
    assert len(work.events) == 3


def test_who_gave_up_is_left_out(work: WatchedWork) -> None:
    """A cancelled event is not recorded; a batch of nothing else ends nothing."""
    committer = GroupCommitter(work)
    work.gate.clear()
    committer.start()
    first = committer.submit(request_answered(0))
    assert work.entered.wait(20)
    assert committer.submit(request_answered(1)).cancel()
    work.gate.set()
    first.result(20)
    committer.record(request_answered(2))
    committer.stop()
    assert [event.id for event in work.events] == [request_answered(0).id, request_answered(2).id]


def test_stopping_records_what_waits_and_takes_no_more(work: WatchedWork) -> None:
    """A clean stop loses nothing, and what comes after is refused."""
    committer = GroupCommitter(work, max_batch=2)
    futures = [committer.submit(request_answered(number)) for number in range(5)]
    committer.start()
    committer.stop()
    assert all(future.done() for future in futures)
    assert len(work.events) == 5
    with pytest.raises(Unavailable) as caught:
        committer.record(request_answered(9))
    assert caught.value.code == "record-stopped"


def test_what_was_never_started_refuses(work: WatchedWork) -> None:
    """Without its thread nothing is durable, and nobody waits for ever."""
    committer = GroupCommitter(work)
    future = committer.submit(request_answered(1))
    committer.stop()
    with pytest.raises(Unavailable):
        future.result(0)
    assert work.events == []
