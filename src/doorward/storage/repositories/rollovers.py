"""Rollovers of the issuing authority.

Not here: the authorities themselves (`authorities`). The statements are texts, because every publication and every
renewal asks for the open rollover.
"""
# ruff: noqa: S608 - the statements are put together from constants of this module

from __future__ import annotations

from datetime import timedelta

from doorward.core.errors import RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, from_word, to_microseconds
from doorward.stores.authority_protocols import RolloverRecord, RolloverState

_COLUMNS = "id, tenant, state, old_id, new_id, key_name, request, began_at, moved_at, seq, spread"
_ALL = f"SELECT {_COLUMNS} FROM rollovers WHERE tenant = :this_tenant"
_OPEN = DriverStatement(f"{_ALL} AND state NOT IN ('retired', 'withdrawn')")
_LIST = DriverStatement(f"{_ALL} ORDER BY began_at DESC, id DESC")
_ADD = DriverStatement(
    f"""INSERT INTO rollovers ({_COLUMNS})
    VALUES (:id, :this_tenant, :state, :old_id, :new_id, :key_name, :request, :began_at, :moved_at, :seq, :spread)
    ON CONFLICT DO NOTHING"""
)
_MOVE = DriverStatement(
    """UPDATE rollovers SET state = :state, old_id = :old_id, new_id = :new_id, key_name = :key_name,
        request = :request, began_at = :began_at, moved_at = :moved_at, seq = :seq, spread = :spread
    WHERE tenant = :this_tenant AND id = :id AND state = :before AND seq = :before_seq"""
)


class SqlRollovers:
    """`stores.authority_protocols.RolloverStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def open(self) -> RolloverRecord | None:
        """Return the rollover that is not over."""
        row = self._transaction.driver_row(_OPEN)
        return None if row is None else _rollover(row)

    def list(self) -> list[RolloverRecord]:
        """Return all, newest first."""
        return [_rollover(row) for row in self._transaction.driver_rows(_LIST)]

    def add(self, rollover: RolloverRecord) -> None:
        """Add one; an index refuses a second open one."""
        self._transaction.require_writable(rollover.tenant)
        if not self._transaction.driver_change(_ADD, **_values(rollover)):
            raise RequestRefused(
                "rollover-open",
                "a rollover of the authority is going on already",
                hint="`doorward ca rotate status` says what comes next; `doorward ca rotate undo` ends it",
            )

    def move(self, rollover: RolloverRecord, before: RolloverRecord) -> bool:
        """Replace it if its state and its change are still those: one statement compares and sets."""
        self._transaction.require_writable(rollover.tenant)
        told = {"before": before.state.value, "before_seq": before.seq}
        return self._transaction.driver_change(_MOVE, **told, **_values(rollover)) == 1


def _values(rollover: RolloverRecord) -> dict[str, object]:
    return {
        "id": rollover.id,
        "state": rollover.state.value,
        "old_id": rollover.old_id,
        "new_id": rollover.new_id,
        "key_name": rollover.key_name,
        "request": rollover.request,
        "began_at": to_microseconds(rollover.began_at),
        "moved_at": to_microseconds(rollover.moved_at),
        "seq": rollover.seq,
        "spread": int(rollover.window.total_seconds()),
    }


def _rollover(row: DriverRow) -> RolloverRecord:
    id_, tenant, state, old_id, new_id, key_name, request, began_at, moved_at, seq, spread = row
    return RolloverRecord(
        id=id_,
        tenant=tenant,
        state=from_word(RolloverState, state),
        old_id=old_id,
        new_id=new_id,
        key_name=key_name,
        request=bytes(request),
        began_at=from_microseconds(began_at),
        moved_at=from_microseconds(moved_at),
        seq=seq,
        window=timedelta(seconds=spread),
    )
