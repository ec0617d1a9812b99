"""CSV files: parsing what spreadsheets write, and rendering what they can open safely.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break as a formula. So rendering puts an
apostrophe before such a cell, also if apostrophes precede the character already, and parsing takes one away. So each
text comes back as it was.

Standard: RFC 4180, with `;` and tab as further separators. Deliberately different: lines may end in LF or CR alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from doorward.core.errors import Fault, MalformedInput
from doorward.wire.table_rows import (
    MAX_CELL_CHARACTERS,
    MAX_COLUMNS,
    MAX_TABLE_ROWS,
    Cell,
    Table,
    TableRow,
    decode_table,
    row_fault,
)

_FORMULA = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the wide forms are formulas in East Asian settings
_MUST_NEUTRALISE = re.compile(f"'*[{_FORMULA}]")
_NEUTRALISED = re.compile(f"'+[{_FORMULA}]")
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_QUOTED = re.compile(r'"[^"]*"')
_BLANKS = re.compile(r"[\s_-]+")


def parse_csv(data: bytes) -> Table:
    """Return the rows of a CSV file with a line of column names.

    Names of columns are compared in lower case, with `_` for spaces. A column that occurs twice gives a tuple. Spaces
    around a cell are left out, and rows without any text are skipped.

    Args:
        data: UTF-8, with or without byte order mark, at most 64 MiB, 1,000,000 rows, 64 columns and 4,096 characters
            in each cell.

    Raises:
        MalformedInput: `file-too-large`, `file-not-utf8`, `table-empty`, `too-many-rows`, `too-many-columns`.
    """
    text, notes = decode_table(data)
    separator = _find_separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    faults: list[Fault] = []
    lines = _iterate(reader, faults)
    header = next((cells for _, cells in lines if _has_text(cells)), None)
    if header is None:
        raise MalformedInput(
            "table-empty",
            faults[0].message if faults else "the file has no line of column names",
            hint="the first line names the columns, for example: name,groups",
        )
    if len(header) > MAX_COLUMNS:
        raise MalformedInput("too-many-columns", f"the file has more than {MAX_COLUMNS} columns")
    columns = [_BLANKS.sub("_", name.strip().lower()) for name in header]
    rows: list[TableRow] = []
    for count, (line, cells) in enumerate(lines):
        if count >= MAX_TABLE_ROWS:
            raise MalformedInput(
                "too-many-rows", f"the file has more than {MAX_TABLE_ROWS} rows", hint="split it"
            )
        if not _has_text(cells):
            continue
        if fault := _find_fault(line, cells, len(columns)):
            faults.append(fault)
            continue
        rows.append(TableRow(line=line, cells=_name_cells(columns, cells)))
    said = f"the columns are separated by {_SEPARATORS[separator]}"
    faults.sort(key=lambda one: one.line)
    return Table(
        columns=tuple(dict.fromkeys(columns)),
        rows=tuple(rows),
        faults=tuple(faults),
        notes=(*notes, said) if len(columns) > 1 else notes,
    )


def render_csv(columns: Sequence[str], rows: Iterable[Sequence[str]], *, safe: bool = True) -> str:
    """Return a CSV file: every cell quoted, formulas neutralised, lines ended by CRLF.

    `safe=False` leaves cells as they are, for a file of our own texts that programs read.

    Quoting every cell ensures that no separator in a cell can begin another cell, in whichever settings it is opened.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([neutralise(cell) for cell in row] if safe else row)
    return out.getvalue()


def neutralise(cell: str) -> str:
    """Return a text that no spreadsheet runs as a formula."""
    return f"'{cell}" if _MUST_NEUTRALISE.match(cell) else cell


def restore(cell: str) -> str:
    """Return the text that `neutralise` got."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _has_text(cells: Sequence[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _find_separator(text: str) -> str:
    """Return the separator that occurs most often outside quotation marks in the first line that is not blank."""
    first = next((line for line in io.StringIO(text[: 1 << 16], newline="") if line.strip()), "")
    bare = _QUOTED.sub("", first)
    return max(_SEPARATORS, key=bare.count)


def _iterate(reader: csv._reader, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:  # type: ignore[name-defined]
    """Yield the line on which each row begins, and its cells; the end of a file that breaks off is a fault."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"the file cannot be read from here on: {error}"
            hint = "a cell that contains a quotation mark is quoted, and the mark doubled"
            faults.append(row_fault("table-malformed", line, message, hint))
            return
        yield line, cells


def _find_fault(line: int, cells: Sequence[str], wanted: int) -> Fault | None:
    if len(cells) != wanted:
        message = f"{len(cells)} cells, but the first line names {wanted} columns"
        return row_fault("row-length", line, message, "quote a cell that contains the separator")
    if any(len(cell) > MAX_CELL_CHARACTERS for cell in cells):
        return row_fault("cell-too-long", line, f"a cell has more than {MAX_CELL_CHARACTERS} characters")
    return None


def _name_cells(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for name, cell in zip(columns, cells, strict=True):
        text = restore(cell.strip(" ")).strip()
        known = found.get(name)
        if known is None:
            found[name] = text
        else:
            found[name] = (*known, text) if isinstance(known, tuple) else (known, text)
    return found
