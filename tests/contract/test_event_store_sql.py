"""The event store over SQL keeps the contract that the fake keeps, on every kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward.storage.backend import Database
from doorward.storage.event_store import SqlEventLog, SqlEventStore
from tests.contract.event_store import EventStoreContract
from tests.support.events import request_answered, seal


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
