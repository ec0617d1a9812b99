"""Tables in JSON: one array of objects, or one object on each line.

Each object is read from its own piece of the text, so that a small file cannot fill the memory with nested arrays.
Standard: RFC 8259; RFC 7493 section 2.3 (no duplicate names).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

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

_PIECES = (1 << 12, 1 << 16)
"""Characters of one object: the usual length, then the longest."""
_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_MAX_LIST = 1024


class _SyntaxFault(ValueError):
    """What is wrong with the text between the elements."""


class _RowError(Exception):
    """A row with a fault, which does not prevent that the next row is read."""


def looks_like_json(data: bytes) -> bool:
    """Return whether a file begins as one of JSON does; a line of column names does not."""
    return data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"[", b"{"}


def parse_json_rows(data: bytes) -> Table:
    """Return the rows of a file of JSON objects, the members of which are texts, lists of texts, or null for none.

    Args:
        data: UTF-8, at most 64 MiB, 1,000,000 objects, 64 members in each, 65,536 characters in each object.

    Raises:
        MalformedInput: `file-too-large`, `file-not-utf8`, `too-many-rows`.
    """
    text, notes = decode_table(data)
    rows: list[TableRow] = []
    faults: list[Fault] = []
    columns: dict[str, None] = {}
    count = 0
    for line, value in _iterate(text, faults):
        count += 1
        if count > MAX_TABLE_ROWS:
            raise MalformedInput(
                "too-many-rows", f"the file has more than {MAX_TABLE_ROWS} rows", hint="split it"
            )
        try:
            cells = {name: _cell(name, one) for name, one in _pairs(value) if one is not None}
        except _RowError as error:
            faults.append(row_fault("row-malformed", line, str(error)))
            continue
        columns |= dict.fromkeys(cells)
        rows.append(TableRow(line=line, cells=cells))
    return Table(columns=tuple(columns), rows=tuple(rows), faults=tuple(faults), notes=notes)


def _iterate(text: str, faults: list[Fault]) -> Iterator[tuple[int, Any]]:
    """Yield the line of each element, and the element. A syntax error is a fault and ends the file."""
    place = _Place(text)
    try:
        if place.take("["):
            yield from _iterate_array(place)
        else:
            yield from _iterate_lines(place)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _SyntaxFault) else "no JSON value that can be read begins here"
        message = f"the file cannot be read from here on: {why}"
        faults.append(row_fault("table-malformed", place.line, message))


def _iterate_array(place: _Place) -> Iterator[tuple[int, Any]]:
    more = not place.take("]")
    while more:
        yield place.line, place.decode()
        more = place.take(",")
        if not more and not place.take("]"):
            raise _SyntaxFault("a comma or the end of the array is missing")
    if not place.at_end:
        raise _SyntaxFault("there is more text after the end of the array")


def _iterate_lines(place: _Place) -> Iterator[tuple[int, Any]]:
    while not place.at_end:
        yield place.line, place.decode()
        if not (place.at_end or place.began_line):
            raise _SyntaxFault("each object needs a line of its own")


class _Place:
    """A place in the text: always the next character that is not white space."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.line = 1
        self.began_line = True
        self._skip()

    @property
    def at_end(self) -> bool:
        return self._at == len(self._text)

    def take(self, character: str) -> bool:
        """Go past this character; return whether it was here."""
        if not self._text.startswith(character, self._at):
            return False
        self._move(self._at + 1)
        return True

    def decode(self) -> Any:
        """Return the element that begins here, and go past it."""
        for length in _PIECES:
            piece = self._text[self._at : self._at + length]
            try:
                value, used = _DECODER.raw_decode(piece)
            except ValueError:
                if length == _PIECES[-1]:
                    raise
            else:
                self._move(self._at + used)
                return value
        raise AssertionError  # pragma: no cover  the last piece returns or raises

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to
        before = self.line
        self._skip()
        self.began_line = self.line > before

    def _skip(self) -> None:
        end = len(self._text) if (found := _NOT_SPACE.search(self._text, self._at)) is None else found.start()
        self.line += self._text.count("\n", self._at, end)
        self._at = end


def _pairs(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, _Members):
        raise _RowError("an object belongs here, with members such as name and groups")
    if len(value.pairs) > MAX_COLUMNS:
        raise _RowError(f"the object has more than {MAX_COLUMNS} members")
    if len({name for name, _ in value.pairs}) != len(value.pairs):
        raise _RowError("the object has two members with one name")
    return value.pairs


def _cell(name: str, value: Any) -> Cell:
    if isinstance(value, str) and len(value) <= MAX_CELL_CHARACTERS:
        return value
    if isinstance(value, list) and len(value) <= _MAX_LIST:
        texts = tuple(one for one in value if isinstance(one, str) and len(one) <= MAX_CELL_CHARACTERS)
        if len(texts) == len(value):
            return texts
    raise _RowError(
        f"{name[:64]!a} is neither a text in quotation marks nor a list of such texts, "
        f"of at most {MAX_CELL_CHARACTERS} characters"
    )


class _Members:
    """The members of one object, duplicates included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_constant=_no_constant, parse_int=str, parse_float=str
)
