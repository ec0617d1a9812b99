"""The state of each gateway. Not here: their orders and access logs (`gateways`)."""

from __future__ import annotations

from datetime import datetime

from doorward.core.errors import NotFound
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, to_microseconds
from doorward.stores.records import GatewayRecord

_SAVE = DriverStatement(
    """INSERT INTO gateways (id, tenant, name, confirmed_seq, seen_at, status, assertion_jwk)
    VALUES (:id, :this_tenant, :name, :confirmed_seq, :seen_at, :status, :assertion_jwk)
    ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, name = excluded.name,
        confirmed_seq = excluded.confirmed_seq, seen_at = excluded.seen_at, status = excluded.status,
        assertion_jwk = excluded.assertion_jwk"""
)
_CONFIRM = DriverStatement(
    """UPDATE gateways SET confirmed_seq = :confirmed_seq, seen_at = :seen_at, status = :status
    WHERE tenant = :this_tenant AND id = :of"""
)
_LIST = DriverStatement(
    """SELECT id, tenant, name, confirmed_seq, seen_at, status, assertion_jwk FROM gateways
    WHERE tenant = :this_tenant ORDER BY name, id"""
)
_REMOVE = DriverStatement("DELETE FROM gateways WHERE tenant = :this_tenant AND id = :of")


class SqlGateways:
    """`stores.protocols.GatewayStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def save(self, gateway: GatewayRecord) -> None:
        """Insert or update by id."""
        self._transaction.require_writable(gateway.tenant)
        self._transaction.driver_change(
            _SAVE,
            id=gateway.id,
            name=gateway.name,
            confirmed_seq=gateway.confirmed_seq,
            seen_at=to_microseconds(gateway.seen_at),
            status=gateway.status,
            assertion_jwk=gateway.assertion_jwk,
        )

    def confirm(self, gateway_id: str, seq: int, seen_at: datetime, status: str) -> None:
        """Record that this gateway enforces every change up to `seq`."""
        at = to_microseconds(seen_at)
        if not self._transaction.driver_change(
            _CONFIRM, of=gateway_id, confirmed_seq=seq, seen_at=at, status=status
        ):
            raise NotFound("gateway-unknown", f"there is no gateway with the id {gateway_id}")

    def list(self) -> list[GatewayRecord]:
        """Return all gateways, sorted by name."""
        return [
            GatewayRecord(
                id=id_,
                tenant=tenant,
                name=name,
                confirmed_seq=confirmed_seq,
                seen_at=from_microseconds(seen_at),
                status=status,
                assertion_jwk=assertion_jwk,
            )
            for id_, tenant, name, confirmed_seq, seen_at, status, assertion_jwk in self._transaction.driver_rows(
                _LIST
            )
        ]

    def remove(self, gateway_id: str) -> None:
        """Remove a gateway that was stopped normally."""
        self._transaction.driver_change(_REMOVE, of=gateway_id)
