"""Modules that are imported when they are first used."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from doorward.core.late_imports import import_later


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of that kind."""
    made = ModuleType("parts_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    made.__getattr__ = import_later(made.__name__, {"sums": "statistics"})  # type: ignore[method-assign]
    return made


def test_a_module_is_imported_at_its_first_use(parts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and only once."""
    monkeypatch.delitem(sys.modules, "statistics", raising=False)
    assert "sums" not in vars(parts)
    assert parts.sums is sys.modules["statistics"]
    assert vars(parts)["sums"] is sys.modules["statistics"]


def test_what_is_not_named_is_not_there(parts: ModuleType) -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="'parts_of_a_test' has no attribute 'other'"):
        _ = parts.other
