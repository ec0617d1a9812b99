"""Every error code of the source, found by reading it; for the test of docs/reference/errors.md.

A code is a kebab word that stands as a literal where errors are made: the first word-like argument
of an error's constructor or of a function that makes one, or an argument called `code`.
Not here: reasons, events and findings, which have catalogues of their own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent / "src" / "doorward"

MAKERS = frozenset(
    {
        "DoorwardError",
        "MalformedInput",
        "RequestRefused",
        "NotFound",
        "IntegrityError",
        "Unavailable",
        "Fault",
        "AcmeRefusal",
        "ErrorTemplate",
        "_damaged",
        "_error",
        "_fault",
        "parse_certificates",
        "_refused",
        "_unusable",
        "add",
        "add_fault",
        "row_fault",
    }
)
"""Constructors of errors, and the functions of modules that make one from a code."""

CATALOGUES = frozenset({"policy/analysis.py", "pki/lint.py", "demo"})
"""Findings are advice and lint faults are details of `certificate-refused`; the demo is no part of the product."""

_CODE = re.compile(r"[a-z][a-z0-9]*(?:[-:][a-z0-9]+)+")


def find_codes(source: Path = SOURCE) -> dict[str, set[str]]:
    """Return every code with the modules that raise it, as paths below the package."""
    found: dict[str, set[str]] = {}
    for file in sorted(source.rglob("*.py")):
        place = file.relative_to(source).as_posix()
        if place in CATALOGUES or place.split("/")[0] in CATALOGUES:
            continue
        for code in _codes_of(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(code, set()).add(place)
    return found


def _codes_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) in MAKERS:
            yield from _literals(node.args[:3], first_only=True)
            yield from _literals([one.value for one in node.keywords if one.arg == "code"])
        elif isinstance(node, ast.Assign) and any(_name_of(one) == "code" for one in node.targets):
            yield from _literals([node.value])
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
            yield from _literals(node.value.elts[:1])


def _literals(nodes: list[ast.expr], *, first_only: bool = False) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
            yield node.value
            if first_only:
                return


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
