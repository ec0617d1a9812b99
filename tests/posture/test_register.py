"""The table of README.md is held against the tests: every item has a line, every line's tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ITEMS = {f"6.{number}" for number in (2, 3, 4, 6, 7, *range(9, 16), 18)}
"""Of section 6: what the compiled door and the cutter have to hold."""
ROWS = {
    "asked at the first DATA",
    "tcp_proxy connects first",
    "HTTP and odd answers",
    "initial_metadata",
    "only the leaf",
    "PROXY protocol",
    "stale SOCK_DESTROY",
    "deny as an absence",
    "SNI and Host",
    "self-made CA",
    "access log",
    "QUIC",
    "--mode validate",
    "jwt_authn forward, freshness, next",
    "undecided connections",
    "missing metadata key",
    "grants of 25 KiB",
    "v4-mapped",
    "Ed25519",
}
"""Of section 10, every row but the one on cost."""

_LINE = re.compile(r"\| (?P<item>[^|]+) \| (?P<attack>[^|]+) \| (?P<tests>[^|]+) \| (?P<field>[^|]+) \|")


def lines() -> list[dict[str, str]]:
    """Return the table."""
    text = (HERE / "README.md").read_text("utf-8")
    found = [match.groupdict() for match in _LINE.finditer(text)]
    return [one for one in found if one["item"] not in {"item", "---"}]


def names_in(path: Path) -> set[str]:
    """Return the tests of a file as pytest names them, and their classes."""
    found = {path.name}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.add(f"{path.name}::{node.name}")
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inner = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
            found |= {f"{path.name}::{node.name}::{one}" for one in inner if one.startswith("test_")}
            found.add(f"{path.name}::{node.name}")
    return found


EVERY_NAME = set().union(*(names_in(path) for path in HERE.glob("test_*.py")))


def test_every_item_has_a_line() -> None:
    """No item of section 6 and no row of section 10 that concerns HTTP or the cutter is without a test."""
    listed = {one["item"].strip() for one in lines()}
    assert listed >= ITEMS
    assert {f"10 {row}" for row in ROWS} <= listed


@pytest.mark.parametrize("line", lines(), ids=lambda line: line["item"] + ", " + line["attack"][:30])
def test_every_line_names_tests_that_exist(line: dict[str, str]) -> None:
    """What stands in the table is in the files."""
    named = re.findall(r"`(test_[^`]+)`", line["tests"])
    assert named
    assert set(named) <= EVERY_NAME


@pytest.mark.parametrize("line", lines(), ids=lambda line: line["item"] + ", " + line["attack"][:30])
def test_every_field_is_edited_by_the_tests_beside_it(line: dict[str, str]) -> None:
    """A field that a line says is taken out is named in one of its files."""
    files = {one.partition("::")[0] for one in re.findall(r"`(test_[^`]+)`", line["tests"] + line["field"])}
    text = "".join((HERE / name).read_text("utf-8") for name in files)
    for name in re.findall(r"`([a-zA-Z_.-]+)`", line["field"]):
        assert name.strip("…") in text, name


def test_every_file_is_in_the_table() -> None:
    """No posture test stands outside it."""
    text = (HERE / "README.md").read_text("utf-8")
    assert not {path.name for path in HERE.glob("test_*.py") if path.name not in text}


def test_every_module_says_which_item_it_is_about() -> None:
    """A file's first line names the section and item, or what else it proves."""
    for path in HERE.glob("test_*.py"):
        first = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        assert re.search(
            r"section|ENVOY|DESIGN|secret|surface|table", first.partition("\n")[0], re.IGNORECASE
        ), path
