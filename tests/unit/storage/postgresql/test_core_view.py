"""How SQLAlchemy words a statement for PostgreSQL."""

from __future__ import annotations

import psycopg
from sqlalchemy import bindparam, insert, select

from doorward.storage.postgresql.core_view import make_engine
from doorward.storage.schema import tables_of


def test_text_is_sent_as_text() -> None:
    """No operator of the server's own compares text with `varchar`, so another user could make one."""
    dialect = make_engine(psycopg.connect).dialect
    for table in tables_of("postgresql"):
        columns = list(table.columns)
        for statement in (
            insert(table),
            select(table).where(*(column == bindparam(f"of_{column.name}") for column in columns)),
            select(table).where(*(column.in_(["a"]) for column in columns if column.type.python_type is str)),
        ):
            sent = str(statement.compile(dialect=dialect))
            assert "VARCHAR" not in sent
            assert "::" in sent or "POSTCOMPILE" in sent
