"""What needs SQLAlchemy: Core over a connection of the driver that is open already, and the tables of the metadata.

Not here: pools of connections (`database`).
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from doorward.storage.schema import tables_of


def core_over(driver: psycopg.Connection, connect: Callable[[], psycopg.Connection]) -> Connection:
    """Return SQLAlchemy's connection over an open one; it neither begins nor ends a transaction.

    Args:
        driver: the open one.
        connect: opens another, which is asked once what the server can do.
    """
    # The first connection of an engine is asked what it can do, and is then rolled back.
    made = iter([connect()])
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: next(made, driver),
        poolclass=QueuePool,
        hide_parameters=True,  # an error must not carry a token or a name into a log
        pool_reset_on_return=None,
        use_native_hstore=False,
    )
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
    """Drop every table of ours."""
    names = ", ".join(
        f'"{name}"' for name in (*(one.name for one in tables_of("postgresql")), "alembic_version")
    )
    driver.execute(f"DROP TABLE IF EXISTS {names}")
