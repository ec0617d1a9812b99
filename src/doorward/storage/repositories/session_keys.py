"""Keys that sign the sessions of applications.

Not here: making, sealing and rotating keys (`directory.session_keys`).
"""

from __future__ import annotations

import builtins
from datetime import datetime

from doorward.core.errors import IntegrityError
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.factor_records import SessionKeyRecord

_LIST = DriverStatement(
    """SELECT id, tenant, public_jwk, sealed, created_at, retired_at FROM session_keys
    WHERE tenant = :this_tenant ORDER BY created_at DESC, id DESC"""
)
_ADD = DriverStatement(
    """INSERT INTO session_keys (id, tenant, public_jwk, sealed, created_at, retired_at)
    VALUES (:id, :this_tenant, :public_jwk, :sealed, :created_at, :retired_at)
    ON CONFLICT DO NOTHING"""
)
_RETIRE = DriverStatement(
    "UPDATE session_keys SET retired_at = :at WHERE tenant = :this_tenant AND id = :of AND retired_at IS NULL"
)
_REMOVE = DriverStatement("DELETE FROM session_keys WHERE tenant = :this_tenant AND id = :of")


class SqlSessionKeys:
    """`stores.factor_protocols.SessionKeyStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def list(self) -> builtins.list[SessionKeyRecord]:
        """Return all keys, newest first."""
        return [_key(row) for row in self._transaction.driver_rows(_LIST)]

    def add(self, key: SessionKeyRecord) -> None:
        """Add a key."""
        self._transaction.require_writable(key.tenant)
        added = self._transaction.driver_change(
            _ADD,
            id=key.id,
            public_jwk=key.public_jwk,
            sealed=key.sealed,
            created_at=to_microseconds(key.created_at),
            retired_at=to_optional_microseconds(key.retired_at),
        )
        if not added:
            raise IntegrityError(
                "session-key-duplicate", f"there is a session key with the id {key.id} already"
            )

    def retire(self, key_id: str, at: datetime) -> bool:
        """Set the time since which another key signs: compare and set."""
        return self._transaction.driver_change(_RETIRE, of=key_id, at=to_microseconds(at)) == 1

    def remove(self, key_id: str) -> bool:
        """Remove the key."""
        return self._transaction.driver_change(_REMOVE, of=key_id) == 1


def _key(row: DriverRow) -> SessionKeyRecord:
    id_, tenant, public_jwk, sealed, created_at, retired_at = row
    return SessionKeyRecord(
        id=id_,
        tenant=tenant,
        public_jwk=public_jwk,
        sealed=bytes(sealed),
        created_at=from_microseconds(created_at),
        retired_at=from_optional_microseconds(retired_at),
    )
