"""SQLAlchemy Core over an open connection of the driver.

Not here: pools of connections (`database`).
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import QueuePool


def core_over(driver: sqlite3.Connection) -> Connection:
    """Return SQLAlchemy's connection over an open one; it neither begins nor ends a transaction."""
    # SQLAlchemy asks the first connection of an engine for its features, then rolls it back.
    made = iter([sqlite3.connect(":memory:", isolation_level=None)])
    engine = create_engine(
        "sqlite://",
        creator=lambda: next(made, driver),
        poolclass=QueuePool,
        hide_parameters=True,  # an error must not carry a token or a name into a log
        pool_reset_on_return=None,
    )
    engine.connect().close()
    engine.dispose()
    return engine.connect()
