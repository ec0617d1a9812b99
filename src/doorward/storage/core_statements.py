"""What the Core statements of the repositories have in common.

Statements are built once, at import, with named parameters: SQLAlchemy then finds their compiled form by
identity (23 µs instead of 90). Not here: running them (`transaction`), statements as text (`prepared`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Insert, Row, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row: the statement knows its columns, the type checker does not."""

CURRENT_TENANT: ColumnElement[str] = bindparam("this_tenant")
"""Stands for the tenant of the transaction in every statement."""

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_new(table: Table, *, dialect: str = "sqlite") -> Insert:
    """Return an insert that touches no row if any unique key is taken.

    The caller looks at the number of rows: a refused insert must not end the transaction, and on
    PostgreSQL a violated constraint does.
    """
    statement: Insert = _INSERTS[dialect](table).on_conflict_do_nothing()
    return statement


def insert_or_replace(
    table: Table,
    keys: Sequence[str],
    *,
    set_: Mapping[str, ColumnElement[Any]] | None = None,
    keep: Collection[str] = (),
    dialect: str = "sqlite",
) -> Insert:
    """Return an insert that updates the row with the same keys: with `set_`, or with every new value but `keep`."""
    statement = _INSERTS[dialect](table)
    new = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys and column.name not in keep
    }
    upsert: Insert = statement.on_conflict_do_update(index_elements=list(keys), set_=set_ or new)
    return upsert
