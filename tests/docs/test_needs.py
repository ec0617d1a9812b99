"""A test that calls an outside program says so with the marker `needs`, however deep the call is.

Read from the source: which names a test refers to, what those refer to, and where one of them puts
the name of a program in front of a command. A line of shell is not looked into. Also the rule of
tests/conftest.py itself, on a pytest of its own.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import run_program
from tests.support.walkthrough import ROOT

PROGRAMS = {"openssl", "curl", "nginx", "haproxy", "pk12util", "certutil", "keytool", "java", "gnutls-cli"}
PROGRAMS |= {"pgrep", "lsof", "strace", "socat", "nc", "wget"}
"""What a small Debian need not have; tools of its essential packages (util-linux, coreutils) are always there."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True, eq=False)
class Module:
    """One file: what it defines, what it imports from other tests, and which method is of which class."""

    name: str
    defined: dict[str, ast.AST] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    owners: dict[ast.AST, ast.ClassDef] = field(default_factory=dict)


def read(name: str, text: str) -> Module:
    """Read a module of tests."""
    module = Module(name)
    for node in ast.parse(text).body:
        if isinstance(node, Function | ast.ClassDef):
            module.defined[node.name] = node
            if isinstance(node, ast.ClassDef):
                module.owners |= dict.fromkeys(node.body, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            module.defined.update({one.id: node for one in targets if isinstance(one, ast.Name)})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            module.imported.update(
                {one.asname or one.name: (node.module or "", one.name) for one in node.names}
            )
    return module


def name_of(path: Path) -> str:
    """Return a file's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {
    name_of(path): read(name_of(path), path.read_text("utf-8")) for path in (ROOT / "tests").rglob("*.py")
}


@cache
def programs_in(tree: ast.AST) -> set[str]:
    """Return the programs that stand in front of a command: first in a list, or near the front of a call."""
    found = set()
    for node in ast.walk(tree):
        first: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple):
            first = node.elts[:1]
        elif isinstance(node, ast.Call) and _called(node) not in {"needs", "which", "skipif"}:
            first = node.args[:2]
        found |= {one.value for one in first if isinstance(one, ast.Constant) and one.value in PROGRAMS}
    return found


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@cache
def references(module: Module, tree: ast.AST) -> frozenset[tuple[Module, ast.AST]]:
    """Return what a piece of code refers to in tests: functions, classes, constants, fixtures."""
    return frozenset(_referred(module, tree))


def _referred(module: Module, tree: ast.AST) -> Iterator[tuple[Module, ast.AST]]:
    owner = module.owners.get(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "self" and owner is not None:
                yield from ((module, one) for one in owner.body if getattr(one, "name", "") == node.attr)
            elif (whole := ".".join(module.imported.get(node.value.id, ()))) in MODULES:
                yield from _resolved(MODULES[whole], node.attr)
        elif isinstance(node, ast.Name):
            yield from _resolved(module, node.id)
        elif isinstance(node, ast.arg):  # perhaps a fixture
            yield from _resolved(module, node.arg)
            parts = module.name.split(".")[:-1]
            for end in range(1, len(parts) + 1):
                conftest = MODULES.get(".".join([*parts[:end], "conftest"]))
                if conftest is not None:
                    yield from _resolved(conftest, node.arg)


def _resolved(module: Module, name: str) -> Iterator[tuple[Module, ast.AST]]:
    if name in module.defined:
        yield module, module.defined[name]
    elif name in module.imported:
        where, what = module.imported[name]
        if where in MODULES and what in MODULES[where].defined:
            yield MODULES[where], MODULES[where].defined[what]


def called_by(module: Module, test: ast.AST) -> set[str]:
    """Return every program that a test calls, itself or by what it refers to."""
    found: set[str] = set()
    seen: set[ast.AST] = set()
    waiting: list[tuple[Module, ast.AST]] = [(module, test)]
    while waiting:
        where, tree = waiting.pop()
        if tree not in seen:
            seen.add(tree)
            found |= programs_in(tree)
            waiting += references(where, tree)
    return found


def needs(*marked: ast.AST) -> set[str]:
    """Return what the `needs` markers of decorators and `pytestmark` name."""
    calls = [node for tree in marked for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [argument for call in calls if _called(call) == "needs" for argument in call.args]
    return {str(one.value) for one in named if isinstance(one, ast.Constant)}


def unsaid(module: Module) -> dict[str, set[str]]:
    """Return the programs that tests of a module call and do not name, by test."""
    found = {}
    everywhere = [module.defined["pytestmark"]] if "pytestmark" in module.defined else []
    for node in module.defined.values():
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = node if isinstance(node, ast.ClassDef) else None
        for test in inside:
            if isinstance(test, Function) and test.name.startswith("test_"):
                marks = [*test.decorator_list, *(owner.decorator_list if owner else []), *everywhere]
                missing = called_by(module, test) - needs(*marks)
                if missing:
                    found[f"{module.name}::{test.name}"] = missing
    return found


@cache
def everything_unsaid() -> dict[str, set[str]]:
    """Return the same for all tests."""
    return {test: missing for module in MODULES.values() for test, missing in unsaid(module).items()}


def test_every_test_names_the_programs_that_it_calls() -> None:
    """Where one is missing the test is skipped with a line that says so, and fails in CI."""
    assert everything_unsaid() == {}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("def test_a():\n    subprocess.run(['openssl', 'version'])", {"openssl"}),
        ("def run(*words): ...\ndef test_a():\n    run('curl', '-V')", {"curl"}),
        ("def ask():\n    run(site, 'curl')\ndef test_a():\n    ask()", {"curl"}),
        ("ASK = ('nginx', '-t')\nclass TestIt:\n    def test_a(self):\n        run(ASK)", {"nginx"}),
        ("class TestIt:\n    def test_a(self):\n        self.b()\n    def b(self):\n        run('nginx')", {"nginx"}),
        ("@pytest.fixture\ndef key():\n    run('keytool')\ndef test_a(key): ...", {"keytool"}),
        ("from tests.support.wire_clients import knock_with_curl\ndef test_a():\n    knock_with_curl()", {"curl"}),
        ("from tests.support import wire_clients\ndef test_a():\n    wire_clients.knock_with_curl()", {"curl"}),
        ("@pytest.mark.needs('curl')\ndef test_a():\n    run('openssl', 'curl')", {"openssl"}),
        ("@pytest.mark.needs('curl')\ndef test_a():\n    run('curl')", set()),
        ("pytestmark = pytest.mark.needs('curl')\ndef test_a():\n    run('curl')", set()),
        ("def test_a():\n    assert client == 'curl'", set()),
    ],
)  # fmt: skip
def test_a_call_is_found_wherever_it_is(text: str, missing: set[str]) -> None:
    """In the test, in what it calls, in a constant, a method, a fixture, or another file."""
    assert set().union(*unsaid(read("tests.example", text)).values()) == missing


@pytest.mark.parametrize(
    ("marker", "ci", "outcome"),
    [
        ('needs("no-such-program")', "", "1 skipped"),
        ('needs("no-such-program")', "true", "1 error"),
        ('needs("no-such-program", must=False)', "true", "1 skipped"),
        ('needs("no-such-program", must=False), pytest.mark.needs("nor-this-one")', "true", "1 error"),
        ('needs("sh")', "true", "1 passed"),
    ],
)
def test_a_missing_program_skips_and_fails_in_ci(tmp_path: Path, marker: str, ci: str, outcome: str) -> None:
    """In CI only what a test may do without is skipped; the line names the program either way."""
    test = tmp_path / "test_it.py"
    test.write_text(f"import pytest\npytestmark = [pytest.mark.{marker}]\ndef test_it():\n    pass\n")
    done = run_program(
        [sys.executable, "-m", "pytest", "-ra", "-q", "-p", "tests.conftest", "-c", os.devnull, str(test)],
        env={"PATH": "/usr/bin:/bin", "CI": ci, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert ("not installed: no" in done.stdout) is ("passed" not in outcome)
