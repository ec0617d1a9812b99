"""An open connection: the driver's, and SQLAlchemy Core's over it.

Not here: opening a connection (`sqlite`, `postgresql`). A transaction runs on SQLAlchemy's `Connection` or on a
`DriverConnection`. The second makes SQLAlchemy's connection only if a Core statement is run, because loading SQLAlchemy
takes longer than most commands (docs/design/0049).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection


class DriverConnection:
    """The driver's connection within a transaction; Core's connection over it is made on first use.

    Args:
        driver: the driver's connection.
        core_over: makes Core's connection over it, which neither begins nor ends a transaction.
        pyformat: parameters are named as in `%(name)s`.
    """

    __slots__ = ("_core", "_core_over", "driver", "pyformat")

    def __init__(
        self, driver: Any, core_over: Callable[[Any], Connection], *, pyformat: bool = False
    ) -> None:
        self.driver = driver
        self.pyformat = pyformat
        self._core_over = core_over
        self._core: Connection | None = None

    @property
    def core(self) -> Connection:
        """SQLAlchemy's connection over the same transaction."""
        if self._core is None:
            self._core = self._core_over(self.driver)
        return self._core

    def forget_core(self) -> None:
        """Close Core's connection, after the transaction has ended."""
        if self._core is not None:
            engine = self._core.engine
            self._core.close()
            engine.dispose(close=False)  # do not close the driver's connection
            self._core = None


def driver_of(connection: Any) -> Any:
    """Return the driver's connection."""
    if isinstance(connection, DriverConnection):
        return connection.driver
    return connection.connection.driver_connection


def core_of(connection: Any) -> Connection:
    """Return SQLAlchemy's connection."""
    core: Connection = connection.core if isinstance(connection, DriverConnection) else connection
    return core


def takes_pyformat(connection: Any) -> bool:
    """Return whether the driver's parameters are named as in `%(name)s`; otherwise it takes `:name`."""
    if isinstance(connection, DriverConnection):
        return connection.pyformat
    return bool(connection.dialect.paramstyle == "pyformat")


def open_cursor(connection: Any, *, kept: bool = False) -> Any:
    """Return a cursor of the driver.

    Args:
        connection: an open one.
        kept: use a server-side cursor: rows come in batches, and the driver does not load the whole result.
    """
    driver = driver_of(connection)
    if kept and takes_pyformat(connection):
        return driver.cursor(name=f"kept_{next(_numbers)}")
    return driver.cursor()


_numbers = itertools.count()
