"""Which devices an approval is about: ids, all of a manufacturer, or the rows of a file.

A file has a column `id` or `serial`, and may have `name` and `groups` (names separated by spaces or `;`); other columns of
`doorward device pending --csv` are left out, so that an edited export can be read again.

Not here: approving them (`approving`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from doorward.core.errors import Fault, MalformedInput, RequestRefused
from doorward.directory.fleets.approving import WAITING, Wish, list_enrolments
from doorward.directory.fleets.manufacturers import require_manufacturer
from doorward.stores.fleet_records import DeviceEnrolmentRecord, EnrolmentState
from doorward.stores.services import Services
from doorward.wire.csv_rows import parse_csv
from doorward.wire.table_rows import TableRow, row_fault

MOST_ROWS = 100_000

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
        wishes=tuple(Wish(enrolment_id=one.id, groups=tuple(groups)) for one in plain),
        notes=(note,) if left else (),
    )


def select_rows(services: Services, data: bytes, *, groups: Sequence[str] = ()) -> Selection:
    """Return what the rows of a CSV file name.

    Args:
        services: the ports of this process.
        data: UTF-8; see `wire.csv_rows.parse_csv`; at most 100,000 rows.
        groups: further groups of each device.

    Raises:
        MalformedInput: as `parse_csv`; `column-missing`, `too-many-rows`.
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
    waiting = [one for one, _ in list_enrolments(services, states=WAITING)]
    by_serial: dict[str, list[DeviceEnrolmentRecord]] = {}
    for one in waiting:
        by_serial.setdefault(one.serial, []).append(one)
    wishes, faults = [], list(table.faults)
    for row in table.rows:
        found = _read_row(row, by_serial, groups)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            wishes.append(found)
    return Selection(wishes=tuple(wishes), notes=table.notes, faults=tuple(faults))


def is_suspicious(enrolment: DeviceEnrolmentRecord) -> bool:
    """Return whether the enrolment may be of a clone: it repeats, or has several keys or addresses."""
    return (
        enrolment.state is EnrolmentState.DUPLICATE
        or enrolment.reason == "serial-known"
        or (enrolment.keys, enrolment.sources) != (1, 1)
    )


def refuse_incomplete(selection: Selection) -> None:
    """Raise `RequestRefused` (`nothing-selected`) if nothing was named."""
    if not selection.wishes and not selection.faults:
        raise RequestRefused(
            "nothing-selected",
            "no device was named, or none waits",
            hint="`doorward device pending` shows the devices that wait",
        )


def _read_row(
    row: TableRow, by_serial: dict[str, list[DeviceEnrolmentRecord]], groups: Sequence[str]
) -> Wish | Fault:
    cells = {name: _text(cell) for name, cell in row.cells.items()}
    enrolment_id = cells.get("id", "")
    serial = cells.get("serial", "")
    if not enrolment_id:
        found = by_serial.get(serial, []) if serial else []
        if len(found) != 1:
            count = "no device that waits has" if not found else f"{len(found)} devices that wait have"
            return row_fault(
                "serial-unknown",
                row.line,
                f"{count} the serial number {serial[:64]!a}",
                "give the id instead",
            )
        enrolment_id = found[0].id
    more = [one for one in _SEPARATORS.split(cells.get("groups", "")) if one]
    return Wish(enrolment_id=enrolment_id, name=cells.get("name", ""), groups=tuple(sorted({*groups, *more})))


def _text(cell: str | tuple[str, ...]) -> str:
    return cell if isinstance(cell, str) else " ".join(cell)
