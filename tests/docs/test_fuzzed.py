"""Each function that reads what comes from outside is fuzzed, or excused with a reason."""

from __future__ import annotations

import ast
import importlib
import re

from tests.support.fuzzing.table import EXCUSED, TARGETS
from tests.support.walkthrough import ROOT

SOURCE = ROOT / "src" / "doorward"
LEFT_OUT = {"storage", "cli", "demo", "__pycache__"}
"""Storage reads files of ours; cli and demo have no parsers of their own."""
ROOMS = sorted(one.name for one in SOURCE.iterdir() if one.is_dir() and one.name not in LEFT_OUT)

READER = re.compile(r"(?:parse|read|decode|judge_by)_")


def _readers() -> set[str]:
    """Return `module.function` of every public function that is named like a parser."""
    found = set()
    for room in ROOMS:
        for file in (SOURCE / room).rglob("*.py"):
            if "_pb2" in file.name:
                continue
            module = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found |= {
                f"{module}.{one.name}"
                for one in tree.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and READER.match(one.name)
            }
    return found


def _covered() -> set[str]:
    return {name for target in TARGETS.values() for name in target.covers}


def test_every_reader_is_fuzzed_or_excused() -> None:
    """A new parser has a target in tests/support/fuzzing, or a line in its table that says why not."""
    assert sorted(_readers() - _covered() - EXCUSED.keys()) == []


def test_the_table_names_what_there_is() -> None:
    """Every name in the table is there, and nothing is excused that is fuzzed or gone."""
    for name in _covered():
        module, _, function = name.rpartition(".")
        assert hasattr(importlib.import_module(f"doorward.{module}"), function), name
    assert EXCUSED.keys() <= _readers() - _covered()
    assert all(EXCUSED.values())
