"""The storages that the contract suites run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.storage.backend import Database
from doorward.stores.protocols import UnitOfWork
from tests.support.memory_store import MemoryUnitOfWork
from tests.support.ports import SilentBell
from tests.support.sql_store import one_shot_database, sqlite_database, sqlite_work


@pytest.fixture
def bell() -> SilentBell:
    """A bell that counts."""
    return SilentBell()


@pytest.fixture(params=["memory", "sqlite", "one-shot"])
def work(request: pytest.FixtureRequest, tmp_path: Path, bell: SilentBell) -> Iterator[UnitOfWork]:
    """An empty unit of work of each kind."""
    if request.param == "memory":
        yield MemoryUnitOfWork(bell)
        return
    database: Database = sqlite_database(tmp_path)
    if request.param == "one-shot":
        database.close()
        database = one_shot_database(tmp_path)
    yield sqlite_work(database, bell=bell)
    database.close()
