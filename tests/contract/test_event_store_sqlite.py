"""The SQLite event store keeps the contract that the fake keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.storage.event_store import SqlEventLog, SqlEventStore
from tests.contract.event_store import EventStoreContract
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
