"""Serial numbers that the operator states before the devices come: expected, or barred.

An expected device is approved at its first contact, unless its manufacturer's tag says that an operator approves. A barred
serial number gets no certificate: this takes the place of the revocation of a factory certificate, of which
factories hardly ever tell. A bar is lifted only if the operator says so: an older list of expected numbers lifts none.

Not here: what follows for a device (`rules`).
Standard: docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory.fleets.judging import is_plain_serial
from doorward.directory.fleets.manufacturers import require_manufacturer
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.fleet_records import (
    EnrolmentState,
    FactorySerialRecord,
    ManufacturerRecord,
    SerialStanding,
)
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.wire.table_rows import decode_table

MOST_SERIALS = 100_000
"""Of one manufacturer."""

_EVENTS = {
    SerialStanding.EXPECTED: EventType.SERIAL_EXPECTED,
    SerialStanding.BARRED: EventType.SERIAL_BARRED,
}
_BATCH = 500
_MOST_NAMED = 10
LARGEST_FILE = 8 << 20


def read_serial_file(data: bytes) -> list[str]:
    """Return the serial numbers of a file: one on each line; blank lines and a byte order mark are left out.

    Raises:
        MalformedInput: `file-too-large`, `file-not-utf8`, `too-many-rows`.
    """
    text, _ = decode_table(data[: LARGEST_FILE + 1])
    found = [line.strip() for line in text.splitlines()]
    found = [line for line in found if line]
    if len(found) > MOST_SERIALS:
        raise MalformedInput(
            "too-many-rows",
            f"the file has more than {MOST_SERIALS} serial numbers",
            hint="divide it into several files",
        )
    return found


def list_barred(services: Services, name: str) -> Iterator[FactorySerialRecord]:
    """Yield the barred serial numbers of a manufacturer, in their order; raise `NotFound` (`manufacturer-unknown`)."""
    after = ""
    while True:
        with services.work.read() as stores:
            of = require_manufacturer(stores, name).id
            page = stores.factory_serials.list(of, SerialStanding.BARRED, after=after, limit=_BATCH)
        yield from page
        if len(page) < _BATCH:
            return
        after = page[-1].serial


def state_serials(
    services: Services,
    name: str,
    serials: Sequence[str],
    standing: SerialStanding,
    *,
    lift_bar: bool = False,
    actor: str,
) -> ChangeResult[int]:
    """Expect or bar serial numbers of a manufacturer; return how many changed. A repeat changes nothing.

    Args:
        services: the ports of this process.
        name: of the manufacturer.
        serials: as the factory certificates state them; case counts.
        standing: expected or barred.
        lift_bar: also expect numbers that are barred; otherwise they stay barred, and a note names them.
        actor: who acts.

    Raises:
        NotFound: `manufacturer-unknown`.
        MalformedInput: `serial-malformed`, for the first that no factory certificate can state.
        RequestRefused: `serials-too-many`.
    """
    for one in serials:
        if not is_plain_serial(one):
            raise MalformedInput(
                "serial-malformed",
                f"{one[:80]!a} is not a serial number of a device",
                hint="write 1 to 64 printable ASCII characters, as in the factory certificate",
            )
    changed, notes, kept = 0, [], []
    for first in range(0, len(serials), _BATCH):  # short transactions: decisions of the door wait for them
        with services.work.change() as stores:
            manufacturer = require_manufacturer(stores, name)
            for serial in serials[first : first + _BATCH]:
                if not lift_bar and _stays_barred(stores, manufacturer, serial, standing):
                    kept.append(serial)
                changed += state_serial_within(
                    services,
                    stores,
                    manufacturer,
                    serial,
                    standing,
                    lift_bar=lift_bar,
                    actor=actor,
                    now=services.clock.now(),
                )
                notes += (
                    _note_enrolled(stores, manufacturer, serial) if standing is SerialStanding.BARRED else []
                )
    if kept:
        more = f" and {len(kept) - _MOST_NAMED} more" if len(kept) > _MOST_NAMED else ""
        notes.append(f"still barred: {', '.join(kept[:_MOST_NAMED])}{more}; --lift-bar would expect them")
    return ChangeResult(value=changed, seq=0, notes=tuple(notes))


def state_serial_within(
    services: Services,
    stores: Stores,
    manufacturer: ManufacturerRecord,
    serial: str,
    standing: SerialStanding,
    *,
    principal_id: str = "",
    lift_bar: bool = False,
    actor: str,
    now: datetime,
) -> bool:
    """Expect or bar one serial number in the caller's transaction; False if that was stated already, or the number stays barred.

    Args:
        services: the ports of this process.
        stores: of that transaction.
        manufacturer: of the device.
        serial: plain (`judging.is_plain_serial`).
        standing: expected or barred.
        principal_id: the device of the directory that this serial number is; empty: a new one is made at its first contact.
        lift_bar: also expect a number that is barred.
        actor: who acts.
        now: aware, UTC.

    Raises:
        RequestRefused: `serials-too-many`.
    """
    if not lift_bar and _stays_barred(stores, manufacturer, serial, standing):
        return False
    before = stores.factory_serials.get(manufacturer.id, serial)
    if before is not None and before.standing is standing and principal_id in ("", before.principal_id):
        return False  # without a device, the one that was named before stays expected
    if before is None and stores.factory_serials.count(manufacturer.id) >= MOST_SERIALS:
        raise RequestRefused(
            "serials-too-many",
            f"the manufacturer {manufacturer.name} has {MOST_SERIALS} serial numbers already",
            hint="let an operator approve the other devices: `doorward device pending`, `doorward device approve`",
        )
    record = FactorySerialRecord(
        tenant=TENANT,
        manufacturer_id=manufacturer.id,
        serial=serial,
        standing=standing,
        principal_id=principal_id,
        created_at=now,
    )
    stores.factory_serials.save(record)
    device = stores.directory.get(principal_id) if principal_id else None
    event = new_event(
        services,
        _EVENTS[standing],
        actor=actor,
        at=now,
        data={"manufacturer": manufacturer.id, "principal": principal_id},
        personal={"factory_serial": serial, "name": device.name if device else ""},
    )
    stores.outbox.add(event)
    return True


def _stays_barred(
    stores: Stores, manufacturer: ManufacturerRecord, serial: str, standing: SerialStanding
) -> bool:
    """Return whether a barred serial number would be expected."""
    before = stores.factory_serials.get(manufacturer.id, serial)
    barred = before is not None and before.standing is SerialStanding.BARRED
    return barred and standing is SerialStanding.EXPECTED


def _note_enrolled(stores: Stores, manufacturer: ManufacturerRecord, serial: str) -> list[str]:
    """Return a note for each device that has a certificate already: barring its serial number does not revoke it."""
    notes = []
    for one in stores.device_enrolments.by_serial(manufacturer.id, serial):
        device = stores.directory.get(one.principal_id)
        if device is not None and one.state in (EnrolmentState.ENROLLED, EnrolmentState.DUPLICATE):
            notes.append(
                f"{serial} is {device.name}, which keeps its certificate: doorward device remove {device.name}"
            )
    return notes
