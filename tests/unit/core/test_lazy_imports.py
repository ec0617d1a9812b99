"""Modules that are imported when they are first used."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

import doorward
from doorward.core.lazy_imports import import_lazily


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of that kind."""
    made = ModuleType("parts_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    made.__getattr__ = import_lazily(made.__name__, {"sums": "statistics"})  # type: ignore[method-assign]
    return made


def test_a_module_is_imported_at_its_first_use(parts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and only once."""
    monkeypatch.delitem(sys.modules, "statistics", raising=False)
    assert "sums" not in vars(parts)
    assert parts.sums is sys.modules["statistics"]
    assert vars(parts)["sums"] is sys.modules["statistics"]


def test_an_unknown_attribute_raises(parts: ModuleType) -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="'parts_of_a_test' has no attribute 'other'"):
        _ = parts.other


SOURCE = Path(doorward.__path__[0])
LATE = sorted(
    ".".join(("doorward", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if "= import_lazily(" in path.read_text(encoding="utf-8") and path.stem != "lazy_imports"
)


def test_the_search_finds_lazy_modules() -> None:
    """The search finds them."""
    assert {"doorward.cli.parts", "doorward.storage.repositories"} <= set(LATE)


@pytest.mark.parametrize("name", LATE)
def test_each_part_is_imported_as_it_is_typed(name: str) -> None:
    """The modules that mypy and import-linter see are exactly those that are imported at run time."""
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    typed = {
        name.asname: f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname
    }
    assert {attribute: getattr(module, attribute).__name__ for attribute in typed} == typed
    named = [
        one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]
    assert set(typed) <= set(named)
    if name != "doorward.storage.repositories":  # it makes the whole names of the short ones
        assert {one for one in named if one.startswith(("doorward.", "cryptography."))} == set(typed.values())
