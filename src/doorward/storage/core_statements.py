"""Parts that the Core statements of the repositories share.

Statements are built once, at import, with named parameters, so that SQLAlchemy finds their compiled form by identity
(23 µs instead of 90). Not here: running statements (`transaction`), statements as text (`driver_statement`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Row, Table, TextClause, bindparam, text
from sqlalchemy.sql import ColumnElement

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row: the statement knows its columns, the type checker does not."""

CURRENT_TENANT: ColumnElement[str] = bindparam("this_tenant")
"""The parameter for the tenant of the transaction, in every statement."""


def insert_new(table: Table) -> TextClause:
    """Return an insert that affects no row if a unique key is taken.

    The caller checks the number of rows. A violated constraint would end the transaction on PostgreSQL.
    """
    return _insert(table, "DO NOTHING")


def insert_or_replace(table: Table, keys: Sequence[str], *, keep: Collection[str] = ()) -> TextClause:
    """Return an insert that updates the row with the same keys, except its columns `keep`."""
    new = ", ".join(
        f'"{column.name}" = excluded."{column.name}"'
        for column in table.columns
        if column.name not in keys and column.name not in keep
    )
    return _insert(table, f"({', '.join(keys)}) DO UPDATE SET {new}")


def _insert(table: Table, on_conflict: str) -> TextClause:
    """Return SQL text, the same for every database; in Core each dialect has its own such insert."""
    columns = '", "'.join(column.name for column in table.columns)
    values = ", ".join(f":{column.name}" for column in table.columns)
    return text(
        f'INSERT INTO {table.name} ("{columns}") VALUES ({values}) ON CONFLICT {on_conflict}'  # noqa: S608  names of the schema
    ).bindparams(*(bindparam(column.name, type_=column.type) for column in table.columns))
