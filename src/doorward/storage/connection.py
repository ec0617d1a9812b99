"""An open connection, as the statements see it: the driver's own, and SQLAlchemy's over it.

Not here: opening one (`sqlite`, `postgresql`). A database gives its transactions either SQLAlchemy's `Connection`
or a `DriverConnection`, which makes SQLAlchemy's only if a statement of Core is run: loading it takes longer than
most commands (docs/design/0049).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection


class DriverConnection:
    """The driver's connection within a transaction; Core's view of it is made if a statement asks for it.

    Args:
        driver: the driver's connection.
        core_over: makes Core's view of it, which neither begins nor ends a transaction.
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
        """Close Core's view, after the transaction has ended."""
        if self._core is not None:
            engine = self._core.engine
            self._core.close()
            engine.dispose(close=False)  # the driver's connection is not Core's to close
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
        kept: the database keeps the result and hands it over in batches, where the driver would
            otherwise load the whole of it.
    """
    driver = driver_of(connection)
    if kept and takes_pyformat(connection):
        return driver.cursor(name=f"kept_{next(_numbers)}")
    return driver.cursor()


_numbers = itertools.count()
