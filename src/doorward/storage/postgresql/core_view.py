"""The parts that need SQLAlchemy: Core over an open connection of the driver, and the tables of the metadata.

Not here: pools of connections (`database`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, String, Text, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from doorward.storage.schema import tables_of


class _SentText(Text):
    """A text parameter, rendered as `::TEXT`.

    SQLAlchemy renders `::VARCHAR`. No operator of PostgreSQL has exactly these two types, so PostgreSQL would use
    an operator that another user has made in our schema (docs/design/0063).
    """

    render_bind_cast = True


def make_engine(connect: Callable[[], psycopg.Connection], **pool: Any) -> Engine:
    """Return an engine over connections of `connecting`.

    Args:
        connect: opens a connection.
        pool: arguments of `create_engine` for the pool.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=QueuePool,
        hide_parameters=True,  # an error must not carry a token or a name into a log
        use_native_hstore=False,  # otherwise SQLAlchemy looks up the type
        **pool,
    )
    engine.dialect.colspecs = {**engine.dialect.colspecs, String: _SentText}
    return engine


def core_over(driver: psycopg.Connection, connect: Callable[[], psycopg.Connection]) -> Connection:
    """Return SQLAlchemy's connection over an open one; it neither begins nor ends a transaction.

    Args:
        driver: the open one.
        connect: opens another connection, which SQLAlchemy asks once for the server's features.
    """
    # SQLAlchemy asks the first connection of an engine for its features, then rolls it back.
    made = iter([connect()])
    engine = make_engine(lambda: next(made, driver), pool_reset_on_return=None)
    engine.connect().close()
    engine.dispose()
    return engine.connect()


def make_tables(driver: psycopg.Connection) -> None:
    """Make every table and index of the metadata in the first schema of the search path."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in tables_of("postgresql"):
        driver.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in table.indexes:
            driver.execute(str(CreateIndex(index).compile(dialect=dialect)))


def drop_tables(driver: psycopg.Connection) -> None:
    """Drop every table of Doorward."""
    names = ", ".join(
        f'"{name}"' for name in (*(one.name for one in tables_of("postgresql")), "alembic_version")
    )
    driver.execute(f"DROP TABLE IF EXISTS {names}")
