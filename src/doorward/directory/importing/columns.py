"""What the columns of an import mean: the rows of a table become entries, or faults with their lines.

Pure: the directory is not asked here (`planning`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doorward.core.entities import PrincipalKind
from doorward.core.errors import Fault, MalformedInput
from doorward.core.mail_address import parse_mail_address
from doorward.core.names import parse_principal_name
from doorward.directory.principals import check_display_name, check_groups
from doorward.wire.table_rows import Cell, Table, TableRow, row_fault

NAME, DISPLAY_NAME, EMAIL, GROUPS = "name", "display_name", "email", "groups"
MANUFACTURER, FACTORY_SERIAL = "manufacturer", "factory_serial"
_ALIASES = {"group": GROUPS, "serial": FACTORY_SERIAL}
_OF_ALL = (NAME, DISPLAY_NAME, EMAIL, GROUPS)
_OF_DEVICES = (MANUFACTURER, FACTORY_SERIAL)
READ_ONLY = frozenset(
    {
        "agent_version",
        "certificate_until",
        "host_name",
        "id",
        "inherited",
        "kind",
        "last_seen",
        "last_seen_at",
        "next_renewal",
        "reported_at",
        "state",
        "store",
        "system",
        "where",
    }
)
"""Columns of an export that an import leaves out, so that an export can be edited and imported again."""

_SERIAL_LIMIT = 64
"""As of a factory certificate (`directory.fleets.judging`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row: a name, and what is said about it; None if the file says nothing about it.

    `manufacturer` and `factory_serial` are both given, or both None.
    """

    line: int
    name: str
    display_name: str | None = None
    email: str | None = None
    groups: tuple[str, ...] = ()
    manufacturer: str | None = None
    factory_serial: str | None = None


def read_entries(
    table: Table, kind: PrincipalKind, *, groups: Sequence[str] = ()
) -> tuple[list[Entry], list[Fault], list[str]]:
    """Return the entries, every fault of the file, and notes about it.

    Args:
        table: as parsed; its own faults are returned too.
        kind: of all entries.
        groups: further groups of each entry.

    Raises:
        MalformedInput: `column-unknown`, `column-missing`: no row can be understood then.
    """
    columns = _find_columns(table.columns, kind)
    entries: list[Entry] = []
    faults = list(table.faults)
    lines: dict[str, int] = {}
    serials: dict[tuple[str, str], int] = {}
    for row in table.rows:
        found = _read_row(row, columns, kind, groups)
        if isinstance(found, Fault):
            faults.append(found)
            continue
        twice = _find_twice(found, lines, serials)
        if twice is not None:
            faults.append(twice)
            continue
        entries.append(found)
    left_out = [name for name, meaning in columns.items() if not meaning]
    notes = [*table.notes]
    if left_out:
        notes.append(f"columns that an import leaves out: {', '.join(left_out)}")
    return entries, faults, notes


def _find_columns(names: Sequence[str], kind: PrincipalKind) -> Mapping[str, str]:
    """Return the meaning of each column, empty for one that is left out."""
    known = (*_OF_ALL, *(_OF_DEVICES if kind is PrincipalKind.DEVICE else ()))
    found, unknown = {}, []
    for name in names:
        meaning = _ALIASES.get(name, name)
        if meaning in known:
            found[name] = meaning
        elif meaning in READ_ONLY:
            found[name] = ""
        else:
            unknown.append(name)
    if unknown:
        near = {name: difflib.get_close_matches(name[:64], known, n=1) for name in unknown[:10]}
        asked = [f"{name[:64]!a}: did you mean {one[0]}?" for name, one in near.items() if one]
        raise MalformedInput(
            "column-unknown",
            f"unknown columns: {', '.join(f'{name[:64]!a}' for name in unknown[:10])}",
            hint="; ".join([*asked, f"known here: {', '.join(known)}"]),
        )
    if names and NAME not in found.values():
        raise MalformedInput(
            "column-missing", "no column is called name", hint=f"known here: {', '.join(known)}"
        )
    return found


def _read_row(
    row: TableRow, columns: Mapping[str, str], kind: PrincipalKind, more: Sequence[str]
) -> Entry | Fault:
    texts: dict[str, str] = {}
    groups = list(more)
    for column, cell in row.cells.items():
        meaning = columns[column]
        if column == "kind" and cell not in ("", kind.value):
            return row_fault("principal-kind", row.line, f"this row is not about a {kind.value}", key="kind")
        if meaning == GROUPS:
            groups += _split_groups(cell)
        elif meaning and isinstance(cell, str):
            texts[meaning] = cell
        elif meaning:
            return row_fault("row-malformed", row.line, f"there are several texts for {meaning}", key=meaning)
    try:
        return Entry(
            line=row.line,
            name=_parse_name(texts.get(NAME, "")),
            display_name=check_display_name(texts[DISPLAY_NAME]) if DISPLAY_NAME in texts else None,
            email=_parse_email(texts[EMAIL]) if EMAIL in texts else None,
            groups=check_groups(groups),
            **_parse_factory(texts.get(MANUFACTURER, ""), texts.get(FACTORY_SERIAL, "")),
        )
    except MalformedInput as error:
        return row_fault(error.code, row.line, error.detail, error.hint)


def _split_groups(cell: Cell) -> list[str]:
    texts = (cell,) if isinstance(cell, str) else cell
    return [group for text in texts for part in text.split(";") if (group := part.strip())]


def _parse_name(text: str) -> str:
    if not text:
        raise MalformedInput(
            "name-malformed",
            "this row has no name",
            hint="write a name into the column `name`, or remove the row",
        )
    if "/" in text:
        raise MalformedInput(
            "name-malformed",
            f"{text[:80]!a} is a name of a partner's principal",
            hint="an import has names of our own only: add this one with `add PARTNER/IDENTITY`",
        )
    return parse_principal_name(text)


def _parse_email(text: str) -> str:
    """Return an address, its host in lower case; an empty cell is none."""
    return parse_mail_address(text) if text else ""


def _parse_factory(manufacturer: str, serial: str) -> dict[str, str]:
    """Return the fields of a factory's serial number; empty if there is none."""
    if not serial:
        return {}  # a manufacturer alone says nothing
    if not manufacturer:
        raise MalformedInput(
            "manufacturer-missing",
            f"the serial number {serial[:80]!a} has no manufacturer",
            hint="add a column manufacturer with the name from `doorward manufacturer list`",
        )
    if len(serial) > _SERIAL_LIMIT or not serial.isascii() or not serial.isprintable():
        raise MalformedInput(
            "factory-serial-malformed",
            f"{serial[:80]!a} cannot be a factory's serial number",
            hint=f"use at most {_SERIAL_LIMIT} printable characters of ASCII, as in the factory certificate",
        )
    return {"manufacturer": parse_principal_name(manufacturer), "factory_serial": serial}


def _find_twice(entry: Entry, names: dict[str, int], serials: dict[tuple[str, str], int]) -> Fault | None:
    """Return a fault if an earlier row has the name or the factory's serial number of this one."""
    line = names.get(entry.name)
    if line is not None:
        return row_fault("name-twice", entry.line, f"the name {entry.name} is on line {line} already")
    serial = (entry.manufacturer or "", entry.factory_serial or "")
    if serial[1] and serial in serials:
        message = f"the factory's serial number {serial[1]} is on line {serials[serial]} already"
        return row_fault("factory-serial-twice", entry.line, message)
    names[entry.name] = entry.line
    serials[serial] = entry.line
    return None
