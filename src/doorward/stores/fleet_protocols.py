"""The store Protocols of device fleets.

Not here: SQL, and the unit of work that binds these to one transaction (`stores`).
"""
# ruff: noqa: D102 - the properties of FleetStores are documented by the stores they give

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.stores.fleet_records import (
        DeviceEnrolmentRecord,
        EnrolmentState,
        EnrolmentTagRecord,
        FactorySerialRecord,
        ManufacturerAuthorityRecord,
        ManufacturerRecord,
        SerialStanding,
    )


class ManufacturerStore(Protocol):
    """Manufacturers and the certificates of their authorities."""

    def add(
        self, manufacturer: ManufacturerRecord, authorities: Sequence[ManufacturerAuthorityRecord]
    ) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) if a manufacturer that is not removed has the name."""
        ...

    def get(self, manufacturer_id: str) -> ManufacturerRecord | None:
        """Return the manufacturer with this id, also if it was removed."""
        ...

    def by_name(self, name: str) -> ManufacturerRecord | None:
        """Return the manufacturer with this name that is not removed."""
        ...

    def list(self) -> list[ManufacturerRecord]:
        """Return all that are not removed, sorted by name."""
        ...

    def change(self, manufacturer_id: str, *, tag: str, most_pending: int) -> None:
        """Set the tag and the limit of one that is not removed."""
        ...

    def remove(self, manufacturer_id: str, removed_at: datetime) -> bool:
        """Mark it as removed; True for exactly one caller."""
        ...

    def authorities(self, manufacturer_id: str) -> builtins.list[ManufacturerAuthorityRecord]:
        """Return its authorities, anchors first, then by digest."""
        ...


class DeviceEnrolmentStore(Protocol):
    """Enrolments of devices; one for each factory certificate."""

    def add(self, enrolment: DeviceEnrolmentRecord) -> bool:
        """Add one; False if there is one for this fingerprint."""
        ...

    def get(self, enrolment_id: str) -> DeviceEnrolmentRecord | None:
        """Return the enrolment with this id."""
        ...

    def by_fingerprint(self, fingerprint: str) -> DeviceEnrolmentRecord | None:
        """Return the enrolment of this factory certificate."""
        ...

    def by_serial(self, manufacturer_id: str, serial: str) -> list[DeviceEnrolmentRecord]:
        """Return the enrolments of a manufacturer's devices with this serial number, oldest first; at most 10."""
        ...

    def by_principal(self, principal_id: str) -> list[DeviceEnrolmentRecord]:
        """Return the enrolments of a device of the directory, oldest first; at most 100."""
        ...

    def list(
        self,
        *,
        states: Sequence[EnrolmentState],
        manufacturer_id: str = "",
        after_id: str = "",
        limit: int = 500,
    ) -> builtins.list[DeviceEnrolmentRecord]:
        """Return those in one of these states, of one manufacturer or all, after an id, in the order of their ids."""
        ...

    def count(self, manufacturer_id: str = "") -> Mapping[EnrolmentState, int]:
        """Return how many are in each state, of one manufacturer or all; a state with none is left out."""
        ...

    def count_in(self, manufacturer_id: str, state: EnrolmentState) -> int:
        """Return how many of a manufacturer are in a state; the work grows with this number only."""
        ...

    def advance(self, before: DeviceEnrolmentRecord, after: DeviceEnrolmentRecord) -> bool:
        """Store `after` if state, principal and certificate are still those of `before`.

        One statement compares and sets, so the answer is True for exactly one of several callers with the same `before`.
        Id, manufacturer, factory certificate, serial number and time of creation stay.
        """
        ...

    def remove(self, manufacturer_id: str, states: Sequence[EnrolmentState]) -> int:
        """Remove those of a manufacturer in one of these states that never had a certificate; return how many there were."""
        ...


class EnrolmentTagStore(Protocol):
    """Tags: how devices are approved."""

    def add(self, tag: EnrolmentTagRecord) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) if there is one with the name."""
        ...

    def by_name(self, name: str) -> EnrolmentTagRecord | None:
        """Return the tag with this name."""
        ...

    def list(self) -> list[EnrolmentTagRecord]:
        """Return all, sorted by name."""
        ...

    def change(self, tag: EnrolmentTagRecord) -> None:
        """Store approval, groups, template and time of closing of the tag with this id."""
        ...

    def close(self, tag_id: str, closed_at: datetime) -> bool:
        """Close it; True for exactly one caller."""
        ...

    def remove(self, tag_id: str) -> bool:
        """Remove it; False if there is no such tag."""
        ...


class FactorySerialStore(Protocol):
    """Serial numbers that the operator stated before the devices came."""

    def save(self, serial: FactorySerialRecord) -> None:
        """Insert or replace what was said about a serial number of a manufacturer."""
        ...

    def get(self, manufacturer_id: str, serial: str) -> FactorySerialRecord | None:
        """Return what was said about a serial number."""
        ...

    def count(self, manufacturer_id: str) -> int:
        """Return how many serial numbers of a manufacturer were stated."""
        ...

    def count_in(self, manufacturer_id: str, standing: SerialStanding) -> int:
        """Return how many serial numbers of a manufacturer have this standing."""
        ...

    def list(
        self, manufacturer_id: str, standing: SerialStanding, *, after: str = "", limit: int = 500
    ) -> builtins.list[FactorySerialRecord]:
        """Return those of a manufacturer with this standing, after a serial number, in their order."""
        ...

    def remove_all(self, manufacturer_id: str) -> int:
        """Remove all of a manufacturer; return how many there were."""
        ...


class FleetStores(Protocol):
    """The stores of this file, as part of `stores.protocols.Stores`."""

    @property
    def manufacturers(self) -> ManufacturerStore: ...
    @property
    def device_enrolments(self) -> DeviceEnrolmentStore: ...
    @property
    def enrolment_tags(self) -> EnrolmentTagStore: ...
    @property
    def factory_serials(self) -> FactorySerialStore: ...
