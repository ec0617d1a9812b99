"""Manufacturers in SQL, with the certificates of their authorities (`stores.fleet_protocols.ManufacturerStore`).

Not here: their devices, tags and serial numbers (`fleets`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

from doorward.core.errors import RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.fleet_records import ManufacturerAuthorityRecord, ManufacturerRecord

_MANUFACTURERS = """SELECT id, tenant, name, tag, most_pending, created_at, removed_at FROM manufacturers
    WHERE tenant = :this_tenant"""
_ADD_MANUFACTURER = DriverStatement(
    """INSERT INTO manufacturers (id, tenant, name, tag, most_pending, created_at, removed_at)
    VALUES (:id, :this_tenant, :name, :tag, :most_pending, :created_at, :removed_at) ON CONFLICT DO NOTHING"""
)
_MANUFACTURER = DriverStatement(f"{_MANUFACTURERS} AND id = :of")
_MANUFACTURER_NAMED = DriverStatement(f"{_MANUFACTURERS} AND name = :name AND removed_at IS NULL")
_MANUFACTURER_LIST = DriverStatement(f"{_MANUFACTURERS} AND removed_at IS NULL ORDER BY name")
_CHANGE_MANUFACTURER = DriverStatement(
    """UPDATE manufacturers SET tag = :tag, most_pending = :most_pending
    WHERE tenant = :this_tenant AND id = :of AND removed_at IS NULL"""
)
_REMOVE_MANUFACTURER = DriverStatement(
    "UPDATE manufacturers SET removed_at = :at WHERE tenant = :this_tenant AND id = :of AND removed_at IS NULL"
)
_ADD_AUTHORITY = DriverStatement(
    """INSERT INTO manufacturer_authorities
        (id, tenant, manufacturer_id, sha256, anchor, der, not_after, created_at)
    VALUES (:id, :this_tenant, :manufacturer_id, :sha256, :anchor, :der, :not_after, :created_at)"""
)
_AUTHORITIES = DriverStatement(
    """SELECT id, tenant, manufacturer_id, sha256, anchor, der, not_after, created_at FROM manufacturer_authorities
    WHERE tenant = :this_tenant AND manufacturer_id = :of ORDER BY anchor DESC, sha256"""
)


class SqlManufacturers:
    """`stores.fleet_protocols.ManufacturerStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(
        self, manufacturer: ManufacturerRecord, authorities: Sequence[ManufacturerAuthorityRecord]
    ) -> None:
        """Add a manufacturer with its authorities."""
        self._transaction.require_writable(manufacturer.tenant)
        added = self._transaction.driver_change(
            _ADD_MANUFACTURER,
            id=manufacturer.id,
            name=manufacturer.name,
            tag=manufacturer.tag,
            most_pending=manufacturer.most_pending,
            created_at=to_microseconds(manufacturer.created_at),
            removed_at=to_optional_microseconds(manufacturer.removed_at),
        )
        if not added:
            raise RequestRefused(
                "name-taken",
                f"there is a manufacturer named {manufacturer.name} already",
                hint="choose another name; `doorward manufacturer list` shows those in use",
            )
        for one in authorities:
            self._transaction.require_writable(one.tenant)
            self._transaction.driver_change(
                _ADD_AUTHORITY,
                id=one.id,
                manufacturer_id=one.manufacturer_id,
                sha256=one.sha256,
                anchor=one.anchor,
                der=one.der,
                not_after=to_microseconds(one.not_after),
                created_at=to_microseconds(one.created_at),
            )

    def get(self, manufacturer_id: str) -> ManufacturerRecord | None:
        """Return the manufacturer, also if it was removed."""
        row = self._transaction.driver_row(_MANUFACTURER, of=manufacturer_id)
        return None if row is None else _manufacturer(row)

    def by_name(self, name: str) -> ManufacturerRecord | None:
        """Return the manufacturer that has the name now."""
        row = self._transaction.driver_row(_MANUFACTURER_NAMED, name=name)
        return None if row is None else _manufacturer(row)

    def list(self) -> builtins.list[ManufacturerRecord]:
        """Return all that are not removed, sorted by name."""
        return [_manufacturer(row) for row in self._transaction.driver_rows(_MANUFACTURER_LIST)]

    def change(self, manufacturer_id: str, *, tag: str, most_pending: int) -> None:
        """Set the tag and the limit."""
        self._transaction.driver_change(
            _CHANGE_MANUFACTURER, of=manufacturer_id, tag=tag, most_pending=most_pending
        )

    def remove(self, manufacturer_id: str, removed_at: datetime) -> bool:
        """Mark it as removed: compare and set."""
        return (
            self._transaction.driver_change(
                _REMOVE_MANUFACTURER, of=manufacturer_id, at=to_microseconds(removed_at)
            )
            == 1
        )

    def authorities(self, manufacturer_id: str) -> builtins.list[ManufacturerAuthorityRecord]:
        """Return its authorities, anchors first, then by digest."""
        rows = self._transaction.driver_rows(_AUTHORITIES, of=manufacturer_id)
        return [
            ManufacturerAuthorityRecord(
                id=id_,
                tenant=tenant,
                manufacturer_id=of,
                sha256=sha256,
                anchor=bool(anchor),
                der=bytes(der),
                not_after=from_microseconds(not_after),
                created_at=from_microseconds(created_at),
            )
            for id_, tenant, of, sha256, anchor, der, not_after, created_at in rows
        ]


def _manufacturer(row: DriverRow) -> ManufacturerRecord:
    id_, tenant, name, tag, most_pending, created_at, removed_at = row
    return ManufacturerRecord(
        id=id_,
        tenant=tenant,
        name=name,
        tag=tag,
        most_pending=most_pending,
        created_at=from_microseconds(created_at),
        removed_at=from_optional_microseconds(removed_at),
    )
