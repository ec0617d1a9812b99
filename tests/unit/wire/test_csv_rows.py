"""CSV files that spreadsheets wrote, and those that they are to open."""

from __future__ import annotations

import csv
import io

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.csv_rows import neutralise, parse_csv, render_csv, restore
from doorward.wire.table_rows import MAX_CELL_CHARACTERS, MAX_COLUMNS, MAX_TABLE_BYTES, Table
from tests.support.refusals import refused


def cells(table: Table) -> list[dict[str, object]]:
    """Return the cells of each row."""
    return [dict(row.cells) for row in table.rows]


@pytest.mark.parametrize(
    ("data", "separator"),
    [
        (b"name,groups\r\na,b\r\n", "a comma"),
        (b"name;groups\na;b\n", "a semicolon"),
        (b"name\tgroups\ra\tb", "a tab"),
        (b'"name","groups"\n"a","b"', "a comma"),
        (b'"na;me;x",name,groups\n"1;2",a,b', "a comma"),
        (b"\n \nname,groups\n\n,\na,b\n", "a comma"),
        (b" Name , GROUPS\n a , b ", "a comma"),
    ],
)
def test_the_separator_is_found_and_said(data: bytes, separator: str) -> None:
    """Comma, semicolon or tab, each kind of line end, names of columns in any case, blank rows left out."""
    table = parse_csv(data)
    assert {name: cells(table)[0][name] for name in ("name", "groups")} == {"name": "a", "groups": "b"}
    assert len(table.rows) == 1
    assert table.notes == (f"the columns are separated by {separator}",)
    assert table.faults == ()


def test_a_byte_order_mark_does_not_hide_the_first_column() -> None:
    """It is left out, and a note says so."""
    table = parse_csv(b"\xef\xbb\xbfname\nalice\n")
    assert cells(table) == [{"name": "alice"}]
    assert table.columns == ("name",)
    assert table.notes == ("the file begins with a byte order mark, which was left out",)


def test_quoted_cells() -> None:
    """Separators, quotation marks and line breaks within a cell; a row has the number of its first line."""
    table = parse_csv(b'name,text\n"a","x, ""y""\nz"\nb,c\n')
    assert cells(table) == [{"name": "a", "text": 'x, "y"\nz'}, {"name": "b", "text": "c"}]
    assert [row.line for row in table.rows] == [2, 4]


def test_a_column_that_occurs_several_times() -> None:
    """Its cells are a tuple."""
    table = parse_csv(b"name,group,group,group\na,x,,y\n")
    assert cells(table) == [{"name": "a", "group": ("x", "", "y")}]
    assert table.columns == ("name", "group")


def test_all_faults_are_said_at_once() -> None:
    """A row with too many or too few cells, one with a long cell; the other rows are read."""
    table = parse_csv(b"name,a\nx,1,2\ny\nz,1\nlong," + b"a" * (MAX_CELL_CHARACTERS + 1))
    assert cells(table) == [{"name": "z", "a": "1"}]
    assert [(one.line, one.code) for one in table.faults] == [
        (2, "row-length"),
        (3, "row-length"),
        (5, "cell-too-long"),
    ]


def test_a_file_that_breaks_off() -> None:
    """The rows before the place are read, and the fault names its line."""
    table = parse_csv(b'name,a\nx,1\n"y,2\nz,3\n')
    assert cells(table) == [{"name": "x", "a": "1"}]
    assert [(one.line, one.code) for one in table.faults] == [(3, "table-malformed")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "table-empty"),
        (b"\n,\n", "table-empty"),
        (b'"name', "table-empty"),
        (b"a," * MAX_COLUMNS + b"b\n", "too-many-columns"),
        ("name\nÄ\n".encode("latin-1"), "file-not-utf8"),
        ("name\nalice\n".encode("utf-16"), "file-not-utf8"),
        ("name\nalice\n".encode("utf-16-le"), "file-not-utf8"),
        (b"a" * (MAX_TABLE_BYTES + 1), "file-too-large"),
    ],
)
def test_what_is_no_table(data: bytes, code: str) -> None:
    """Empty, too large, in another encoding."""
    with refused(MalformedInput, code):
        parse_csv(data)


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank rows count too, because each costs time."""
    monkeypatch.setattr("doorward.wire.csv_rows.MAX_TABLE_ROWS", 2)
    assert len(parse_csv(b"name\na\nb\n").rows) == 2
    with refused(MalformedInput, "too-many-rows"):
        parse_csv(b"name\na\n\nb\n")


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", "'=1", "''@x"]
)
def test_a_formula_is_neutralised_and_comes_back(formula: str) -> None:
    """A spreadsheet shows the text; an import has it as it was."""
    text = render_csv(["name", "display_name"], [["alice", formula]])
    shown = next(row for row in csv.reader(io.StringIO(text, newline="")) if row[0] == "alice")[1]
    assert shown == f"'{formula}"
    assert restore(neutralise(formula)) == formula


@pytest.mark.parametrize("plain", ["", "alice", "'alice'", "a=b", "''"])
def test_other_texts_are_unchanged(plain: str) -> None:
    """Also those with apostrophes of their own."""
    assert neutralise(plain) == plain
    assert restore(plain) == plain


def test_every_cell_is_quoted() -> None:
    """So no separator in a cell can begin another cell, whatever separator the reader expects."""
    assert render_csv(["a"], [["x;=1"]]) == '"a"\r\n"x;=1"\r\n'
