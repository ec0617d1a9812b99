"""Lines of certificates with two holders of keys.

Not here: when a suspicion arises and ends (`authority.line`).
"""

from __future__ import annotations

import builtins

from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, to_microseconds
from doorward.stores.line_protocols import SuspectedClone

_ALL = """SELECT certificate_id, tenant, shown_id, first_at, last_at, told_at, number, untold
    FROM suspected_clones WHERE tenant = :this_tenant"""
_GET = DriverStatement(f"{_ALL} AND certificate_id = :of")
_LIST = DriverStatement(f"{_ALL} ORDER BY last_at DESC, certificate_id LIMIT :limit")
_COUNT = DriverStatement("SELECT count(*) FROM suspected_clones WHERE tenant = :this_tenant")
_SAVE = DriverStatement(
    """INSERT INTO suspected_clones
        (certificate_id, tenant, shown_id, first_at, last_at, told_at, number, untold)
    VALUES (:certificate_id, :this_tenant, :shown_id, :first_at, :last_at, :told_at, :number, :untold)
    ON CONFLICT (certificate_id) DO UPDATE SET shown_id = excluded.shown_id, first_at = excluded.first_at,
        last_at = excluded.last_at, told_at = excluded.told_at, number = excluded.number, untold = excluded.untold"""
)
_REMOVE = DriverStatement("DELETE FROM suspected_clones WHERE tenant = :this_tenant AND certificate_id = :of")


class SqlSuspectedClones:
    """`stores.line_protocols.SuspectedCloneStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self, certificate_id: str) -> SuspectedClone | None:
        """Return the suspicion about the line of this newest certificate."""
        row = self._transaction.driver_row(_GET, of=certificate_id)
        return None if row is None else _suspicion(row)

    def save(self, suspicion: SuspectedClone) -> None:
        """Insert or replace the suspicion of its certificate."""
        self._transaction.require_writable(suspicion.tenant)
        self._transaction.driver_change(
            _SAVE,
            certificate_id=suspicion.certificate_id,
            shown_id=suspicion.shown_id,
            first_at=to_microseconds(suspicion.first_at),
            last_at=to_microseconds(suspicion.last_at),
            told_at=to_microseconds(suspicion.told_at),
            number=suspicion.number,
            untold=suspicion.untold,
        )

    def remove(self, certificate_id: str) -> bool:
        """Remove it; False if there was none."""
        return self._transaction.driver_change(_REMOVE, of=certificate_id) == 1

    def list(self, limit: int = 100) -> builtins.list[SuspectedClone]:
        """Return the suspicions, those that happened last first."""
        return [_suspicion(row) for row in self._transaction.driver_rows(_LIST, limit=limit)]

    def count(self) -> int:
        """Return how many there are."""
        row = self._transaction.driver_row(_COUNT)
        return 0 if row is None else int(row[0])


def _suspicion(row: DriverRow) -> SuspectedClone:
    certificate_id, tenant, shown_id, first_at, last_at, told_at, number, untold = row
    return SuspectedClone(
        certificate_id=certificate_id,
        tenant=tenant,
        shown_id=shown_id,
        first_at=from_microseconds(first_at),
        last_at=from_microseconds(last_at),
        told_at=from_microseconds(told_at),
        number=number,
        untold=untold,
    )
