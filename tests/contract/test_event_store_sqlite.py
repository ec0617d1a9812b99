"""The SQLite event store keeps the contract that the fake keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.storage.event_store import SqlEventLog, SqlEventStore
from tests.contract.event_store import EventStoreContract
from tests.support.events import request_answered, seal
from tests.support.sql_store import sqlite_database


class TestSqliteEventStore(EventStoreContract):
    """The contract, on SQLite."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlEventStore]:
        """An empty store inside one open transaction."""
        database = sqlite_database(tmp_path)
        with SqlEventLog(database).change() as store:
            yield store
        database.close()


def test_the_log_is_changed_durably_and_read_without_writing(tmp_path: Path) -> None:
    """What a change of the log committed is seen by a reader, who cannot write."""
    database = sqlite_database(tmp_path)
    log = SqlEventLog(database)
    with log.change() as store:
        store.record(seal(request_answered(1)))
    with log.read() as store:
        assert len(store.pending(10)) == 1
        with pytest.raises(RuntimeError, match="cannot write"):
            store.record(seal(request_answered(2)))
    database.close()
