"""A table from a file: named columns, and rows with the line on which each begins.

Not here: the formats (`csv_rows`, `json_rows`), the meaning of the columns (`directory.importing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from doorward.core.errors import Fault, MalformedInput

MAX_TABLE_BYTES = 64 << 20
MAX_TABLE_ROWS = 1_000_000
MAX_CELL_CHARACTERS = 4096
MAX_COLUMNS = 64

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

Cell = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row: the number of the line on which it begins, from 1, and its cells by column; a list is a tuple."""

    line: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Args:
        columns: the names, in the order of the file; a file of objects has all names that occur.
        rows: those that have the right form.
        faults: of the others, each with its line. If the file cannot be read to its end, the last fault says so.
        notes: what a person should know about the file, for example its separator.
    """

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def decode_table(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, without its byte order mark, and notes about it.

    Args:
        data: at most 64 MiB of UTF-8.

    Raises:
        MalformedInput: `file-too-large`, `file-not-utf8`.

    Standard: RFC 3629 section 6 (byte order mark).
    """
    if len(data) > MAX_TABLE_BYTES:
        raise MalformedInput(
            "file-too-large", f"the file has more than {MAX_TABLE_BYTES >> 20} MiB", hint="split it"
        )
    notes: tuple[str, ...] = ()
    if data.startswith(_BOM):
        data = data[len(_BOM) :]
        notes = ("the file begins with a byte order mark, which was left out",)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(
            "UTF-16" if data.startswith(_UTF16) else f"another encoding, seen on line {line}"
        ) from None
    if "\0" in text:
        raise _not_utf8("UTF-16 or no text")
    return text, notes


def row_fault(code: str, line: int, message: str, hint: str = "", *, key: str = "") -> Fault:
    """Return a fault of one row."""
    return Fault(code=code, message=message, hint=hint, line=line, key=key)


def _not_utf8(seems: str) -> MalformedInput:
    return MalformedInput(
        "file-not-utf8",
        f"the file is not UTF-8 (it seems to be {seems})",
        hint="save it as UTF-8; spreadsheets call this format `CSV UTF-8`",
    )
