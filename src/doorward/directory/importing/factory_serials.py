"""Serial numbers of factories in an import: the device of a row is expected with this number (docs/design/0081).

At the first contact of a device with this serial number in its factory certificate, it is the device of the row: it has
its name and groups already. A serial number that was barred stays so: an import does not admit it.

Not here: how a device with an expected number is approved (`directory.fleets.rules`). This module is imported only if a file
has serial numbers.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from doorward.core.entities import PrincipalState
from doorward.core.errors import Fault, NotFound
from doorward.directory.importing.columns import Entry
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.wire.table_rows import row_fault

if TYPE_CHECKING:
    from doorward.stores.fleet_records import FactorySerialRecord, ManufacturerRecord


class FactorySerials:
    """What was stated about serial numbers before, in one transaction."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._manufacturers: dict[str, ManufacturerRecord | None] = {}

    def find_fault(self, entry: Entry, principal_id: str) -> Fault | None:
        """Return a fault if the serial number of an entry cannot be expected; `principal_id` is empty for a new device."""
        if not entry.factory_serial:
            return None
        manufacturer = self._find_manufacturer(entry.manufacturer or "")
        if manufacturer is None:
            return row_fault(
                "manufacturer-unknown",
                entry.line,
                f"there is no manufacturer named {entry.manufacturer!a}",
                "`doorward manufacturer list` names them, `doorward manufacturer import` adds one",
            )
        known = self._stores.factory_serials.get(manufacturer.id, entry.factory_serial)
        if known is None or not self._is_of_another(known, principal_id):
            return None
        return row_fault(
            "factory-serial-taken",
            entry.line,
            f"the serial number {entry.factory_serial} of {manufacturer.name} is barred, or is another device",
            "correct the row, or first say otherwise with `doorward manufacturer expect` (a barred number: --lift-bar)",
        )

    def is_stated(self, entry: Entry, principal_id: str) -> bool:
        """Return whether nothing has to be stated: the entry has no serial number, or the device is expected with it."""
        if not entry.factory_serial:
            return True
        manufacturer = self._find_manufacturer(entry.manufacturer or "")
        known = (
            self._stores.factory_serials.get(manufacturer.id, entry.factory_serial) if manufacturer else None
        )
        return known is not None and known.principal_id == principal_id and known.standing.value == "expected"

    def state(
        self, services: Services, entry: Entry, principal_id: str, *, actor: str, now: datetime
    ) -> None:
        """Expect the device with the serial number of its entry, with its event.

        Raises:
            NotFound: `manufacturer-unknown`.
            RequestRefused: `serials-too-many`.
        """
        if self.is_stated(entry, principal_id) or entry.factory_serial is None:
            return
        from doorward.directory.fleets.serials import state_serial_within  # noqa: PLC0415  see above
        from doorward.stores.fleet_records import SerialStanding  # noqa: PLC0415  see above

        manufacturer = self._find_manufacturer(entry.manufacturer or "")
        if manufacturer is None:
            raise NotFound(
                "manufacturer-unknown",
                f"there is no manufacturer named {entry.manufacturer!a}",
                hint="`doorward manufacturer list` shows all; `doorward manufacturer import` adds one",
            )
        state_serial_within(
            services,
            self._stores,
            manufacturer,
            entry.factory_serial,
            SerialStanding.EXPECTED,
            principal_id=principal_id,
            actor=actor,
            now=now,
        )

    def _find_manufacturer(self, name: str) -> ManufacturerRecord | None:
        if name not in self._manufacturers:
            self._manufacturers[name] = self._stores.manufacturers.by_name(name)
        return self._manufacturers[name]

    def _is_of_another(self, known: FactorySerialRecord, principal_id: str) -> bool:
        """Return whether the number is barred, or is that of another device in the directory."""
        if known.standing.value != "expected":
            return True
        if not known.principal_id or known.principal_id == principal_id:
            return False
        other = self._stores.directory.get(known.principal_id)
        return other is not None and other.state is not PrincipalState.REMOVED
