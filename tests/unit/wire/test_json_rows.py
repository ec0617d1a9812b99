"""Tables in JSON."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.json_rows import looks_like_json, parse_json_rows
from doorward.wire.table_rows import MAX_CELL_CHARACTERS, MAX_COLUMNS
from tests.support.refusals import refused

ALICE = '{"name": "alice", "groups": ["a", "b"], "n": 7, "none": null}'
CELLS = {"name": "alice", "groups": ("a", "b"), "n": "7"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"[{ALICE}]", [1]),
        (f"\n[\n{ALICE},\n\n{ALICE}\n]\n", [3, 5]),
        (f"{ALICE}\n\n{ALICE}\r\n", [1, 3]),
        (ALICE, [1]),
        ("[]", []),
        ("[ ]\n", []),
        ("", []),
    ],
)
def test_an_array_or_one_object_on_each_line(text: str, lines: list[int]) -> None:
    """Each row has its line; null is as if the member were missing; a number is as it is written."""
    table = parse_json_rows(text.encode())
    assert [row.line for row in table.rows] == lines
    assert all(row.cells == CELLS for row in table.rows)
    assert table.columns == (tuple(CELLS) if lines else ())
    assert table.faults == ()


@pytest.mark.parametrize(
    "row",
    [
        "[]",
        "7",
        '{"a": true}',
        '{"a": {"b": "c"}}',
        '{"a": ["b", 1, null]}',
        '{"a": "b", "a": "c"}',
        f'{{"a": "{"x" * (MAX_CELL_CHARACTERS + 1)}"}}',
        "{" + ",".join(f'"{number}": ""' for number in range(MAX_COLUMNS + 1)) + "}",
    ],
)
def test_a_row_with_a_fault_hides_no_other(row: str) -> None:
    """The rows around it are read."""
    table = parse_json_rows(f"[{ALICE},\n{row},\n{ALICE}]".encode())
    assert [one.line for one in table.rows] == [1, 3]
    assert [(one.line, one.code) for one in table.faults] == [(2, "row-malformed")]


@pytest.mark.parametrize(
    "text",
    [
        f"[\n{ALICE},\n",
        f"[\n{ALICE}\n{ALICE}]",
        f"[\n{ALICE}\n] x",
        f"[\n{ALICE},\n]",
        f"[\n{ALICE},\n{{'a': 1}}]",
        f"[\n{ALICE},\nNaN]",
        f"\n{ALICE} {ALICE}",
        f"\n{ALICE}\n" + "[" * 60_000,
        f"\n{ALICE}\n" + '{"a": "' + "x" * 70_000 + '"}',
    ],
)
def test_a_file_that_breaks_off(text: str) -> None:
    """The rows before the place are read, and one fault says where the file ends to be readable."""
    table = parse_json_rows(text.encode())
    assert [row.line for row in table.rows] == [2]
    assert [one.code for one in table.faults] == ["table-malformed"]


def test_a_long_object_is_read() -> None:
    """One that is longer than the usual, within the limit."""
    long = "x" * MAX_CELL_CHARACTERS
    table = parse_json_rows(f'{{"a": "{long}", "b": "{long}"}}'.encode())
    assert [dict(row.cells) for row in table.rows] == [{"a": long, "b": long}]


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit."""
    monkeypatch.setattr("doorward.wire.json_rows.MAX_TABLE_ROWS", 1)
    assert len(parse_json_rows(ALICE.encode()).rows) == 1
    with refused(MalformedInput, "too-many-rows"):
        parse_json_rows(f"{ALICE}\n{ALICE}".encode())


@pytest.mark.parametrize(
    ("data", "is_json"),
    [(b"[]", True), (b"\xef\xbb\xbf\n {", True), (b"name\n", False), (b"", False), (b"\xff", False)],
)
def test_which_files_are_json(data: bytes, is_json: bool) -> None:  # noqa: FBT001  a parameter
    """Told by how the file begins."""
    assert looks_like_json(data) == is_json
