"""The schema, and every statement over it, is SQL that PostgreSQL knows too."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Delete, Select, Table, Update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from doorward.storage.driver_statement import DriverStatement
from doorward.storage.schema import metadata
from doorward.storage.types import EnumText
from tests.support.sql_store import sqlite_database

POSTGRESQL = postgresql.dialect()
MODULES = [
    "repositories.evidence",
    "repositories.gateways",
]
AS_TEXT = [
    "event_outbox",
    "event_store",
    "repositories.authorities",
    "repositories.certificates",
    "repositories.directory",
    "repositories.factors",
    "repositories.facts",
    "repositories.gateway_states",
    "repositories.invitations",
    "repositories.partners",
    "repositories.policies",
    "repositories.rollovers",
    "repositories.session_keys",
    "repositories.sessions",
    "repositories.step_ups",
]


PARTIAL = {
    "ix_certificates_ending",
    "ix_certificates_listed",
    "ix_certificates_partner",
    "ix_invitations_open",
    "ix_principals_partner",
    "ix_principals_removed",
}
"""Indexes of some rows only, beside those of names that are in use."""


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_are_known_to_postgresql(table: Table) -> None:
    """Every table and index compiles for PostgreSQL, without a word of SQLite."""
    assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=POSTGRESQL))
    for index in table.indexes:
        text = str(CreateIndex(index).compile(dialect=POSTGRESQL))
        assert ("WHERE" in text) == (index.name.endswith("in_use") or index.name in PARTIAL)  # type: ignore[union-attr]


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_row_names_its_tenant(table: Table) -> None:
    """Every table has the tenant (in the table of tenants it is the id), except the filler rows."""
    assert "tenant" in table.columns or table.name in {"tenants", "reserve"}


def test_closed_lists_have_a_check_constraint() -> None:
    """Every column of a closed list has its check, except the kinds of changes, which grow with the program."""
    columns = {
        f"{t.name}.{c.name}"
        for t in metadata.sorted_tables
        for c in t.columns
        if isinstance(c.type, EnumText)
    }
    checked = {
        f"{t.name}.{str(c.name).removesuffix('_known')}"
        for t in metadata.sorted_tables
        for c in t.constraints
        if isinstance(c, CheckConstraint) and str(c.name).endswith("_known")
    }
    found = {one.replace(f"ck_{one.split('.')[0]}_", "") for one in checked}
    assert columns - found == {"changes.kind"}


@pytest.mark.parametrize("name", MODULES)
def test_statements_are_known_to_postgresql(name: str) -> None:
    """Every query, update and delete of the repositories compiles for PostgreSQL."""
    module = importlib.import_module(f"doorward.storage.{name}")
    found = 0
    for value in vars(module).values():
        statement = value._statement if isinstance(value, DriverStatement) else value
        if isinstance(statement, Select | Update | Delete):
            assert str(statement.compile(dialect=POSTGRESQL))
            found += 1
    assert found > 3


@pytest.mark.parametrize("name", AS_TEXT)
def test_text_statements_use_no_dialect(name: str, tmp_path: Path) -> None:
    """Every statement that is text fits the schema, and uses no word that only SQLite knows."""
    module = importlib.import_module(f"doorward.storage.{name}")
    found = 0
    database = sqlite_database(tmp_path)
    for value in vars(module).values():
        if isinstance(value, DriverStatement):
            sql = value._statement
            assert isinstance(sql, str)
            with database.read() as connection:
                names = dict.fromkeys(re.findall(r":([a-z0-9_]+)", sql), 1)
                connection.exec_driver_sql(f"EXPLAIN {sql}", names)
            assert not re.search(r"""\b(INSERT OR|REPLACE|IFNULL|ROWID|GLOB|PRAGMA)\b|[?"]""", sql.upper())
            found += 1
    database.close()
    assert found > 2
