"""The fakes of the stores of device fleets."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from doorward.core.errors import RequestRefused
from doorward.stores.fleet_records import (
    DeviceEnrolmentRecord,
    EnrolmentState,
    EnrolmentTagRecord,
    FactorySerialRecord,
    ManufacturerAuthorityRecord,
    ManufacturerRecord,
    SerialStanding,
)
from tests.support.memory_acme import MemoryAcme
from tests.support.memory_inventory import State, Store


class MemoryManufacturers(Store):
    """The fake of `ManufacturerStore`."""

    def add(
        self, manufacturer: ManufacturerRecord, authorities: Sequence[ManufacturerAuthorityRecord]
    ) -> None:
        state = self.writable(manufacturer.tenant)
        if self.by_name(manufacturer.name) is not None:
            raise RequestRefused("name-taken", f"there is a manufacturer named {manufacturer.name}")
        state.manufacturers[manufacturer.id] = manufacturer
        for one in authorities:
            state.manufacturer_authorities[one.manufacturer_id, one.sha256] = one

    def get(self, manufacturer_id: str) -> ManufacturerRecord | None:
        return self.state.manufacturers.get(manufacturer_id)

    def by_name(self, name: str) -> ManufacturerRecord | None:
        return next((one for one in self.list() if one.name == name), None)

    def list(self) -> list[ManufacturerRecord]:
        kept = [one for one in self.state.manufacturers.values() if one.removed_at is None]
        return sorted(kept, key=lambda one: one.name)

    def change(self, manufacturer_id: str, *, tag: str, most_pending: int) -> None:
        kept = self.writable().manufacturers
        kept[manufacturer_id] = replace(kept[manufacturer_id], tag=tag, most_pending=most_pending)

    def remove(self, manufacturer_id: str, removed_at: datetime) -> bool:
        found = self.writable().manufacturers.get(manufacturer_id)
        if found is None or found.removed_at is not None:
            return False
        self.state.manufacturers[manufacturer_id] = replace(found, removed_at=removed_at)
        return True

    def authorities(self, manufacturer_id: str) -> builtins.list[ManufacturerAuthorityRecord]:
        kept = self.state.manufacturer_authorities.values()
        found = [one for one in kept if one.manufacturer_id == manufacturer_id]
        return sorted(found, key=lambda one: (not one.anchor, one.sha256))


class MemoryDeviceEnrolments(Store):
    """The fake of `DeviceEnrolmentStore`."""

    def add(self, enrolment: DeviceEnrolmentRecord) -> bool:
        state = self.writable(enrolment.tenant)
        if self.by_fingerprint(enrolment.fingerprint) is not None:
            return False
        state.device_enrolments[enrolment.id] = enrolment
        return True

    def get(self, enrolment_id: str) -> DeviceEnrolmentRecord | None:
        return self.state.device_enrolments.get(enrolment_id)

    def by_fingerprint(self, fingerprint: str) -> DeviceEnrolmentRecord | None:
        every = self.state.device_enrolments.values()
        return next((one for one in every if one.fingerprint == fingerprint), None)

    def by_serial(self, manufacturer_id: str, serial: str) -> list[DeviceEnrolmentRecord]:
        return [
            one for one in self._sorted() if (one.manufacturer_id, one.serial) == (manufacturer_id, serial)
        ][:10]

    def by_principal(self, principal_id: str) -> builtins.list[DeviceEnrolmentRecord]:
        return [one for one in self._sorted() if one.principal_id == principal_id][:100]

    def list(
        self,
        *,
        states: Sequence[EnrolmentState],
        manufacturer_id: str = "",
        after_id: str = "",
        limit: int = 500,
    ) -> builtins.list[DeviceEnrolmentRecord]:
        return [
            one
            for one in self._sorted()
            if one.state in states and manufacturer_id in ("", one.manufacturer_id) and one.id > after_id
        ][:limit]

    def count(self, manufacturer_id: str = "") -> Mapping[EnrolmentState, int]:
        return Counter(one.state for one in self._sorted() if manufacturer_id in ("", one.manufacturer_id))

    def count_in(self, manufacturer_id: str, state: EnrolmentState) -> int:
        return self.count(manufacturer_id).get(state, 0)

    def advance(self, before: DeviceEnrolmentRecord, after: DeviceEnrolmentRecord) -> bool:
        kept = self.writable().device_enrolments
        found = kept.get(before.id)
        if found is None or _compared(found) != _compared(before):
            return False
        kept[before.id] = after
        return True

    def remove(self, manufacturer_id: str, states: Sequence[EnrolmentState]) -> int:
        kept = self.writable().device_enrolments
        found = [
            one.id
            for one in kept.values()
            if one.manufacturer_id == manufacturer_id and one.state in states and not one.certificate_id
        ]
        for one in found:
            del kept[one]
        return len(found)

    def _sorted(self) -> builtins.list[DeviceEnrolmentRecord]:
        return sorted(self.state.device_enrolments.values(), key=lambda one: one.id)


class MemoryEnrolmentTags(Store):
    """The fake of `EnrolmentTagStore`."""

    def add(self, tag: EnrolmentTagRecord) -> None:
        state = self.writable(tag.tenant)
        if self.by_name(tag.name) is not None:
            raise RequestRefused("name-taken", f"there is a tag named {tag.name}")
        state.enrolment_tags[tag.id] = tag

    def by_name(self, name: str) -> EnrolmentTagRecord | None:
        return next((one for one in self.list() if one.name == name), None)

    def list(self) -> list[EnrolmentTagRecord]:
        return sorted(self.state.enrolment_tags.values(), key=lambda one: one.name)

    def change(self, tag: EnrolmentTagRecord) -> None:
        self.writable(tag.tenant).enrolment_tags[tag.id] = tag

    def close(self, tag_id: str, closed_at: datetime) -> bool:
        found = self.writable().enrolment_tags.get(tag_id)
        if found is None or found.closed_at is not None:
            return False
        self.state.enrolment_tags[tag_id] = replace(found, closed_at=closed_at)
        return True

    def remove(self, tag_id: str) -> bool:
        return self.writable().enrolment_tags.pop(tag_id, None) is not None


class MemoryFactorySerials(Store):
    """The fake of `FactorySerialStore`."""

    def save(self, serial: FactorySerialRecord) -> None:
        kept = self.writable(serial.tenant).factory_serials
        before = kept.get((serial.manufacturer_id, serial.serial))
        created_at = before.created_at if before else serial.created_at
        kept[serial.manufacturer_id, serial.serial] = replace(serial, created_at=created_at)

    def get(self, manufacturer_id: str, serial: str) -> FactorySerialRecord | None:
        return self.state.factory_serials.get((manufacturer_id, serial))

    def count(self, manufacturer_id: str) -> int:
        return sum(of == manufacturer_id for of, _ in self.state.factory_serials)

    def count_in(self, manufacturer_id: str, standing: SerialStanding) -> int:
        every = self.state.factory_serials.values()
        return sum((one.manufacturer_id, one.standing) == (manufacturer_id, standing) for one in every)

    def list(
        self, manufacturer_id: str, standing: SerialStanding, *, after: str = "", limit: int = 500
    ) -> list[FactorySerialRecord]:
        every = self.state.factory_serials.values()
        found = [one for one in every if (one.manufacturer_id, one.standing) == (manufacturer_id, standing)]
        return sorted((one for one in found if one.serial > after), key=lambda one: one.serial)[:limit]

    def remove_all(self, manufacturer_id: str) -> int:
        kept = self.writable().factory_serials
        found = [key for key in kept if key[0] == manufacturer_id]
        for key in found:
            del kept[key]
        return len(found)


def _compared(one: DeviceEnrolmentRecord) -> tuple[EnrolmentState, str, str]:
    return one.state, one.principal_id, one.certificate_id


class MemoryFleetStores:
    """The stores of fleets, and of ACME, over the state of one transaction."""

    def __init__(self, state: State, tenant: str, *, write: bool) -> None:
        self.acme = MemoryAcme(state, tenant, write=write)
        self.manufacturers = MemoryManufacturers(state, tenant, write=write)
        self.device_enrolments = MemoryDeviceEnrolments(state, tenant, write=write)
        self.enrolment_tags = MemoryEnrolmentTags(state, tenant, write=write)
        self.factory_serials = MemoryFactorySerials(state, tenant, write=write)
