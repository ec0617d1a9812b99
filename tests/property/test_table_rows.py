"""The readers of tables are total, and a table that was written comes back."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.wire.csv_rows import neutralise, parse_csv, render_csv, restore
from doorward.wire.json_rows import parse_json_rows

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(str.strip)
tables = st.lists(st.tuples(texts.filter(bool), texts), max_size=8)


@given(st.binary(max_size=300) | st.text(alphabet='"\n\r,;a=[]{}:\t ', max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_malformed(data: bytes) -> None:
    """Nothing else is raised, and each row has the line of a place in the file."""
    for parse in (parse_csv, parse_json_rows):
        with contextlib.suppress(MalformedInput):
            table = parse(data)
            lines = [row.line for row in table.rows]
            assert lines == sorted(lines)
            assert all(one.line >= 1 for one in (*table.rows, *table.faults))


@given(tables)
def test_a_csv_table_comes_back(rows: list[tuple[str, str]]) -> None:
    """Whatever is in its cells."""
    data = render_csv(["name", "text"], rows).encode()
    assert [tuple(row.cells.values()) for row in parse_csv(data).rows] == rows


@given(tables)
def test_a_json_table_comes_back(rows: list[tuple[str, str]]) -> None:
    """As an array and as lines."""
    objects = [{"name": name, "text": text} for name, text in rows]
    for data in (json.dumps(objects), "\n".join(map(json.dumps, objects))):
        assert [tuple(row.cells.values()) for row in parse_json_rows(data.encode()).rows] == rows


@given(st.text("'=+-@\t\r\n\uff1dab", max_size=6))
def test_neutralising_loses_nothing(text: str) -> None:
    """Two texts never become one."""
    assert restore(neutralise(text)) == text
    assert not neutralise(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
