"""The storages that the contract suites run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from doorward.storage.backend import Database
from doorward.stores.protocols import UnitOfWork
from tests.support.memory_store import MemoryUnitOfWork
from tests.support.ports import CountingNotifier
from tests.support.sql_store import (
    one_shot_database,
    one_shot_postgresql,
    postgresql_database,
    sql_work,
    sqlite_database,
)

POSTGRESQL = [
    pytest.param(name, marks=pytest.mark.postgresql) for name in ("postgresql", "one-shot-postgresql")
]


@pytest.fixture
def notifier() -> CountingNotifier:
    """A notifier that counts."""
    return CountingNotifier()


@pytest.fixture(params=["sqlite", "one-shot", *POSTGRESQL])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    with closing(open_empty(request, tmp_path)) as database:
        yield database


@pytest.fixture(params=["memory", "sqlite", "one-shot", *POSTGRESQL])
def work(request: pytest.FixtureRequest, tmp_path: Path, notifier: CountingNotifier) -> Iterator[UnitOfWork]:
    """An empty unit of work of each kind."""
    if request.param == "memory":
        yield MemoryUnitOfWork(notifier)
        return
    with closing(open_empty(request, tmp_path)) as database:
        yield sql_work(database, notifier=notifier)


def open_empty(request: pytest.FixtureRequest, folder: Path) -> Database:
    """Return an empty database of the kind that the test's parameter names."""
    if request.param == "postgresql":
        return postgresql_database(request.getfixturevalue("postgresql").cleared())
    if request.param == "one-shot-postgresql":
        return one_shot_postgresql(request.getfixturevalue("postgresql").cleared())
    if request.param == "one-shot":
        return one_shot_database(folder)
    return sqlite_database(folder)
