"""One open transaction of one tenant, for the repositories.

Not here: opening and ending it (`sqlite`, `postgresql`, `unit_of_work`), statements (`repositories`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from doorward.storage.connection import core_of
from doorward.storage.driver_statement import DriverRow, DriverStatement, ListStatement

if TYPE_CHECKING:
    from sqlalchemy.sql import Executable

    from doorward.storage.core_statements import AnyRow


class Transaction:
    """A connection with its tenant. `sequence_moved` says whether this transaction added to the change sequence."""

    __slots__ = ("_connection", "_writable", "sequence_moved", "tenant")

    def __init__(self, connection: Any, tenant: str, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self.tenant = tenant
        self.sequence_moved = False

    def row(self, statement: Executable, **values: Any) -> AnyRow | None:
        """Return the only row, or None."""
        values["this_tenant"] = self.tenant
        return core_of(self._connection).execute(statement, values).one_or_none()

    def rows(self, statement: Executable, **values: Any) -> Sequence[AnyRow]:
        """Return all rows."""
        values["this_tenant"] = self.tenant
        return core_of(self._connection).execute(statement, values).all()

    def value(self, statement: Executable, **values: Any) -> Any:
        """Return the first column of the only row, or None."""
        values["this_tenant"] = self.tenant
        return core_of(self._connection).execute(statement, values).scalar_one_or_none()

    def add(self, statement: Executable, **values: Any) -> int:
        """Run an insert of one row of this tenant; return how many rows it touched."""
        return self.write_many(statement, [values | {"tenant": self.tenant}])

    def write(self, statement: Executable, **values: Any) -> int:
        """Run an update or a delete; return how many rows it touched."""
        self.require_writable()
        values["this_tenant"] = self.tenant
        return core_of(self._connection).execute(statement, values).rowcount

    def write_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement for many rows of values, tenant included; return how many rows it touched."""
        self.require_writable()
        return core_of(self._connection).execute(statement, rows).rowcount if rows else 0

    def driver_row(self, statement: DriverStatement, **values: Any) -> DriverRow | None:
        """Return the first row of a statement look-up, as the driver gives it, or None."""
        values["this_tenant"] = self.tenant
        return statement.row(self._connection, values)

    def driver_rows(self, statement: DriverStatement, **values: Any) -> Iterator[DriverRow]:
        """Yield the rows of a statement query, as the driver gives them, without loading all."""
        values["this_tenant"] = self.tenant
        return statement.rows(self._connection, values)

    def driver_rows_of(
        self, statement: ListStatement, listed: Collection[str], **values: Any
    ) -> Iterator[DriverRow]:
        """Yield the rows of all listed values, as the driver gives them."""
        values["this_tenant"] = self.tenant
        return statement.rows(self._connection, listed, values)

    def driver_value(self, statement: DriverStatement, **values: Any) -> Any:
        """Return the first column of the first row of a statement look-up, or None."""
        row = self.driver_row(statement, **values)
        return None if row is None else row[0]

    def driver_change(self, statement: DriverStatement, **values: Any) -> int:
        """Run a statement statement once, of this tenant; return how many rows it touched."""
        values["this_tenant"] = self.tenant
        return self.driver_write(statement, [values])

    def driver_write(self, statement: DriverStatement, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement statement for many rows of values as the driver takes them, tenant included."""
        self.require_writable()
        return statement.run_many(self._connection, rows)

    def require_writable(self, tenant: str | None = None) -> None:
        """Raise if this is a read transaction, or if the record belongs to another tenant: both are bugs of the caller."""
        if not self._writable:
            raise RuntimeError("a read transaction cannot write")
        if tenant is not None and tenant != self.tenant:
            raise ValueError("the record belongs to another tenant than the transaction")
