"""Modules that are imported when they are first used (PEP 562, docs/design/0060).

A package `parts` with `__getattr__ = import_lazily(__name__, {"csr": "doorward.pki.csr"})` has an attribute
`parts.csr`, and imports `doorward.pki.csr` when that attribute is first read. For mypy and import-linter the package
also imports the same modules under `if TYPE_CHECKING:`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType


def import_lazily(module: str, where: Mapping[str, str]) -> Callable[[str], ModuleType]:
    """Return the `__getattr__` of a module.

    Args:
        module: the name of that module.
        where: name of an attribute to the full name of the module that it stands for.
    """

    def find(name: str) -> ModuleType:
        if name not in where:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        found = importlib.import_module(where[name])
        setattr(sys.modules[module], name, found)  # so that the next read does not call this function
        return found

    return find
