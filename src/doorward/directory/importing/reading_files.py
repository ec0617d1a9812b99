"""The entries of an import file, CSV or JSON, told apart by how the file begins.

Not here: the columns (`columns`), the comparison with the directory (`planning`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.core.entities import PrincipalKind
from doorward.core.errors import Fault
from doorward.directory.importing.columns import Entry, read_entries
from doorward.wire.csv_rows import parse_csv
from doorward.wire.json_rows import looks_like_json, parse_json_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """The entries of a file, its faults in the order of the lines, and notes for the operator."""

    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def read_import_file(data: bytes, kind: PrincipalKind, *, groups: Sequence[str] = ()) -> ImportFile:
    """Return what a file says.

    Args:
        data: CSV, a JSON array of objects, or one JSON object on each line; at most 64 MiB.
        kind: of all entries.
        groups: further groups of each entry.

    Raises:
        MalformedInput: no row can be understood: see `parse_csv`, `parse_json_rows` and `read_entries`.
    """
    table = parse_json_rows(data) if looks_like_json(data) else parse_csv(data)
    entries, faults, notes = read_entries(table, kind, groups=groups)
    return ImportFile(
        entries=tuple(entries), faults=tuple(sorted(faults, key=lambda one: one.line)), notes=tuple(notes)
    )
