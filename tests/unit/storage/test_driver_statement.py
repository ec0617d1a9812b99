"""Statements that run on the driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.dialects import postgresql

from doorward.storage.connection import DriverConnection
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.schema import change_counters
from doorward.storage.sqlite.core_view import core_over
from tests.support.sql_store import sqlite_database

ADD = DriverStatement(insert(change_counters), change_counters.columns.keys())
GET = DriverStatement(select(change_counters.c.value).where(change_counters.c.tenant == bindparam("tenant")))
ALL = DriverStatement(
    select(change_counters.c.value).order_by(change_counters.c.value).limit(bindparam("most"))
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """An open change."""
    database = sqlite_database(tmp_path)
    with database.write() as connection:
        yield connection
    database.close()


def test_rows_go_in_and_come_out(connection: Connection) -> None:
    """Many rows are written and counted; one row or all rows are read; no row is None."""
    rows = [{"tenant": f"ten_{number:04}", "value": number} for number in range(1200)]
    assert ADD.run_many(connection, rows) == 1200
    assert GET.row(connection, {"tenant": "ten_0007"}) == (7,)
    assert GET.row(connection, {"tenant": "ten_none"}) is None
    assert list(ALL.rows(connection, {"most": 5000})) == [(number,) for number in range(1200)]


def test_rows_of_a_closed_connection_are_let_go() -> None:
    """Ctrl-C closes the installation while a log is read; what is left of the reading ends without an error."""
    with closing(sqlite3.connect(":memory:")) as driver:
        rows = DriverStatement("SELECT 1 UNION SELECT 2").rows(DriverConnection(driver, core_over), {})
        assert next(rows) == (1,)
    rows.close()


def test_an_empty_write_writes_nothing(connection: Connection) -> None:
    """An empty batch touches no row."""
    assert ADD.run_many(connection, []) == 0


def test_parameters_are_named_if_the_driver_needs_names() -> None:
    """PostgreSQL's driver takes a mapping, which also contains the statement's own values."""

    class Stub:
        dialect = postgresql.dialect(paramstyle="pyformat")

    text = ALL._text(Stub())  # type: ignore[arg-type]
    assert "%(most)s" in text.sql
    assert text.arrange({"most": 3}) == {"most": 3}
