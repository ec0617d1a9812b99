"""The table of README.md is held against the tests: every item has a line, its tests exist, and it has a twin."""

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

EDITS = {"without", "changed", "added"}
"""The functions that remove something from compiled resources, see `tests.support.attacks`."""
OPTIONS = {"drop_flags", "more_flags", "bootstrap", "serve"}
"""Of `CompiledDoors.open`: the same for command line, bootstrap and authorizer."""


def takes_out(node: ast.AST) -> bool:
    """Whether this very piece of code takes a protection out."""
    return any(
        (isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in EDITS)
        or (isinstance(one, ast.keyword) and one.arg in OPTIONS)
        or (isinstance(one, ast.Constant) and one.value in OPTIONS)
        or (isinstance(one, ast.arg) and one.arg in {"uncut", "monkeypatch"})
        for one in ast.walk(node)
    )


def twins_in(name: str, text: str) -> dict[str, str]:
    """Return the tests of a file that take a protection out, themselves or by what they refer to: name to code."""
    module = ast.parse(text)
    around = _defined(ast.parse((HERE / "conftest.py").read_text("utf-8")).body) | _defined(module.body)
    found = {}
    for node in module.body:
        tests = node.body if isinstance(node, ast.ClassDef) else [node]
        own = _defined(node.body) if isinstance(node, ast.ClassDef) else {}
        place = f"{name}::{node.name}" if isinstance(node, ast.ClassDef) else name
        for test in tests:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                code = _referred(test, own, around)
                if any(takes_out(one) for one in code):
                    found[f"{place}::{test.name}"] = "\n".join(ast.unparse(one) for one in code)
    return found


def _defined(body: list[ast.stmt]) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update({one.id: node for one in targets if isinstance(one, ast.Name)})
    return found


def _referred(test: ast.AST, own: dict[str, ast.AST], around: dict[str, ast.AST]) -> list[ast.AST]:
    """Return a test and the functions, fixtures and constants that it refers to, however deep."""
    code: list[ast.AST] = []
    waiting = [test]
    while waiting:
        node = waiting.pop()
        if node in code:
            continue
        code.append(node)
        for one in ast.walk(node):
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self":
                waiting += [own[one.attr]] if one.attr in own else []
            elif isinstance(one, ast.Name | ast.arg):
                name = one.id if isinstance(one, ast.Name) else one.arg
                waiting += [around[name]] if name in around else []
    return code


TWINS: dict[str, str] = {}
for _path in HERE.glob("test_*.py"):
    TWINS |= twins_in(_path.name, _path.read_text("utf-8"))


def twins_of(line: dict[str, str]) -> set[str]:
    """Return the twins of a line: those of its tests that take a field out, and those that it names as such."""
    named = re.findall(r"`(test_[^`]+)`", line["tests"])
    seen = {twin for twin in TWINS if any(f"{twin}::".startswith(f"{one}::") for one in named)}
    return seen | {one for one in re.findall(r"`(test_[^`]+)`", line["field"]) if one.count("::") > 1}


def test_every_item_has_a_line() -> None:
    """No item of section 6 and no row of section 10 that concerns HTTP or the cutter is without a test."""
    listed = {one["item"].strip() for one in lines()}
    assert listed >= ITEMS
    assert {f"10 {row}" for row in ROWS} <= listed


@pytest.mark.parametrize("line", lines(), ids=lambda line: line["item"] + ", " + line["attack"][:30])
def test_every_line_has_a_twin(line: dict[str, str]) -> None:
    """In some test the attack succeeds without the protection. Only things that are never emitted have no such test."""
    assert twins_of(line) or line["field"].startswith("never emitted")
    assert twins_of(line) <= EVERY_NAME


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("def test_a(door): ask(door)", False),
        ("def test_a(kept): ask(kept(without(*HTTP, 'x')))", True),
        ("EDIT = changed('x', to=1)\ndef test_a(kept): ask(kept(EDIT))", True),
        ("def altered(kept): return kept(added('x', value=1))\ndef test_a(kept): ask(altered(kept))", True),
        ("def test_a(uncut): ask(uncut)", True),
        ("def test_a(doors): doors.open(drop_flags=['--x'])", True),
        ("EDIT = changed('x', to=1)\ndef test_a(door): ask(door)\ndef other(): use(EDIT)", False),
    ],
)
def test_a_twin_is_known_by_what_it_takes_out(text: str, twin: object) -> None:
    """An edit counts in the test, in a constant or in a function that it uses, and nowhere else."""
    assert bool(twins_in("test_x.py", text)) is twin


@pytest.mark.parametrize("line", lines(), ids=lambda line: line["item"] + ", " + line["attack"][:30])
def test_every_line_names_tests_that_exist(line: dict[str, str]) -> None:
    """The tests named in the table are in the files."""
    named = re.findall(r"`(test_[^`]+)`", line["tests"])
    assert named
    assert set(named) <= EVERY_NAME


@pytest.mark.parametrize("line", lines(), ids=lambda line: line["item"] + ", " + line["attack"][:30])
def test_every_field_is_taken_out_by_a_twin(line: dict[str, str]) -> None:
    """A field that a line says is taken out is named in the code of one of its twins."""
    code = "".join(TWINS.get(one, "") for one in twins_of(line))
    for name in re.findall(r"`([a-zA-Z_.-]+)`", line["field"]):
        assert name.strip("…") in code, name


def test_every_file_is_in_the_table() -> None:
    """No posture test stands outside it."""
    text = (HERE / "README.md").read_text("utf-8")
    assert not {path.name for path in HERE.glob("test_*.py") if path.name not in text}


def test_every_module_has_a_line() -> None:
    """A module of this folder stands in the table, with the item that it is about."""
    named = " ".join(one["tests"] for one in lines())
    missing = [
        path.name
        for path in HERE.glob("test_*.py")
        if path.name not in named and path.name != Path(__file__).name
    ]
    assert missing == []
