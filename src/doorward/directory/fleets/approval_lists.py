"""Which devices an approval is about: ids, all of a manufacturer, or the rows of a file.

A file has a column `id` or `serial`, and may have `manufacturer`, `name`, `groups` (names separated by spaces or `;`) and
`key` (how the digest of the key begins: a device that came with another one meanwhile is not approved); other columns of `doorward device pending --csv` are left out, so that an edited export can be read again.

Neither a file nor all of a manufacturer approves a duplicate, a refused device or a possible clone: a file that is given
twice would approve what an operator did not look at.

Not here: approving them (`approving`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doorward.core.errors import Fault, MalformedInput, RequestRefused
from doorward.directory.fleets.approving import WAITING, Wish, is_suspicious, list_enrolments
from doorward.directory.fleets.manufacturers import require_manufacturer
from doorward.stores.fleet_records import DeviceEnrolmentRecord
from doorward.stores.services import Services
from doorward.wire.csv_rows import parse_csv
from doorward.wire.table_rows import TableRow, row_fault

MOST_ROWS = 100_000
_MOST_NAMED = 10

_SEPARATORS = re.compile(r"[;\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is to be approved, and what was left out, with the reason for the operator."""

    wishes: tuple[Wish, ...]
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


def select_all(services: Services, manufacturer: str, *, groups: Sequence[str] = ()) -> Selection:
    """Return every pending device of a manufacturer.

    Duplicates, and devices that came with several keys or from several addresses, are left out: each of them may be a clone,
    and an operator looks at it and approves it by its id.

    Raises:
        NotFound: `manufacturer-unknown`.
    """
    with services.work.read() as stores:
        found = require_manufacturer(stores, manufacturer)
    waiting = [one for one, _ in list_enrolments(services, manufacturer_id=found.id)]
    plain = [one for one in waiting if not is_suspicious(one)]
    left = len(waiting) - len(plain)
    note = f"{left} left out, because each may be a clone: `doorward device pending`, then approve by id"
    return Selection(
        wishes=tuple(Wish(enrolment_id=one.id, groups=tuple(groups), only_new=True) for one in plain),
        notes=(note,) if left else (),
    )


def select_rows(
    services: Services, data: bytes, *, manufacturer: str = "", groups: Sequence[str] = ()
) -> Selection:
    """Return what the rows of a CSV file name.

    Args:
        services: the ports of this process.
        data: UTF-8; see `wire.csv_rows.parse_csv`; at most 100,000 rows.
        manufacturer: of every device; empty if the rows say it, or if their serial numbers are unique.
        groups: further groups of each device.

    Raises:
        MalformedInput: as `parse_csv`; `column-missing`, `too-many-rows`.
        NotFound: `manufacturer-unknown`.
    """
    table = parse_csv(data)
    if not {"id", "serial"} & set(table.columns):
        raise MalformedInput(
            "column-missing",
            "no column is called id or serial",
            hint="`doorward device pending --csv` has both",
        )
    if len(table.rows) > MOST_ROWS:
        raise MalformedInput("too-many-rows", f"the file has more than {MOST_ROWS} rows", hint="split it")
    if manufacturer:
        with services.work.read() as stores:
            require_manufacturer(stores, manufacturer)
    waiting = _read_waiting(services)
    wishes, faults = [], list(table.faults)
    for row in table.rows:
        found = _read_row(row, waiting, manufacturer, groups)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            wishes.append(found)
    return Selection(wishes=tuple(wishes), notes=table.notes, faults=tuple(faults))


def refuse_incomplete(selection: Selection) -> None:
    """Raise `RequestRefused` (`nothing-selected`) if nothing was named."""
    if not selection.wishes and not selection.faults:
        raise RequestRefused(
            "nothing-selected",
            "no device was named, or none waits",
            hint="`doorward device pending` shows the devices that wait",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """The devices that wait, of the imported manufacturers, by id and by serial number; `names` by manufacturer."""

    names: Mapping[str, str]
    by_id: Mapping[str, DeviceEnrolmentRecord]
    by_serial: Mapping[str, Sequence[DeviceEnrolmentRecord]]


def _read_waiting(services: Services) -> _Waiting:
    with services.work.read() as stores:
        names = {one.id: one.name for one in stores.manufacturers.list()}
    by_id: dict[str, DeviceEnrolmentRecord] = {}
    by_serial: dict[str, list[DeviceEnrolmentRecord]] = {}
    for one, _ in list_enrolments(services, states=WAITING):
        if one.manufacturer_id in names:
            by_id[one.id] = one
            by_serial.setdefault(one.serial, []).append(one)
    return _Waiting(names=names, by_id=by_id, by_serial=by_serial)


def _read_row(row: TableRow, waiting: _Waiting, manufacturer: str, groups: Sequence[str]) -> Wish | Fault:
    """Return the wish of a row; the state of its device is judged by `approving.approve`, in its transaction."""
    cells = {name: _text(cell) for name, cell in row.cells.items()}
    stated = cells.get("manufacturer", "")
    if stated and stated not in waiting.names.values():
        return row_fault(
            "manufacturer-unknown",
            row.line,
            f"there is no manufacturer named {stated[:64]!a}",
            "`doorward manufacturer list` names them",
        )
    if stated and manufacturer not in ("", stated):
        return _differs(row, stated, manufacturer)
    wanted = stated or manufacturer
    found = waiting.by_id.get(cells.get("id", ""))
    if found is not None and wanted not in ("", waiting.names[found.manufacturer_id]):
        return _differs(row, waiting.names[found.manufacturer_id], wanted)
    enrolment_id = cells.get("id", "") or _find_serial(row, waiting, cells.get("serial", ""), wanted)
    if isinstance(enrolment_id, Fault):
        return enrolment_id
    more = [one for one in _SEPARATORS.split(cells.get("groups", "")) if one]
    return Wish(
        enrolment_id=enrolment_id,
        name=cells.get("name", ""),
        groups=tuple(sorted({*groups, *more})),
        only_new=True,
        key=cells.get("key", ""),
    )


def _find_serial(row: TableRow, waiting: _Waiting, serial: str, manufacturer: str) -> str | Fault:
    """Return the id of the only device that waits with this serial number, of one manufacturer, or of all if it is empty."""
    every = waiting.by_serial.get(serial, ()) if serial else ()
    found = [one for one in every if manufacturer in ("", waiting.names[one.manufacturer_id])]
    if len(found) == 1:
        return found[0].id
    of = f" of the manufacturer {manufacturer}" if manufacturer else ""
    count = f"no device{of} that waits has" if not found else f"{len(found)} devices{of} that wait have"
    message = f"{count} the serial number {serial[:64]!a}"
    makers = sorted({waiting.names[one.manufacturer_id] for one in found})
    if len(makers) > 1:
        more = ", …" if len(makers) > _MOST_NAMED else ""
        return row_fault(
            "serial-unknown",
            row.line,
            f"{message}: of the manufacturers {', '.join(makers[:_MOST_NAMED])}{more}",
            "say which: a column manufacturer, or --manufacturer; or give the id",
        )
    return row_fault("serial-unknown", row.line, message, "give the id instead")


def _differs(row: TableRow, is_of: str, wanted: str) -> Fault:
    return row_fault(
        "manufacturer-differs",
        row.line,
        f"the device is of the manufacturer {is_of}, and {wanted} was wanted",
        "write the manufacturer that `doorward device pending` shows, or leave the row out",
    )


def _text(cell: str | tuple[str, ...]) -> str:
    return cell if isinstance(cell, str) else " ".join(cell)
