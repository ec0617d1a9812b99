"""The page of the import lint names every code with its severity, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from doorward.verification.import_lint import LintCode

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "import-lint.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.+?) \|", PAGE, re.MULTILINE)


def test_every_code_has_its_row_in_order() -> None:
    """Each code of the catalogue has one row, with the severity that it has in the code."""
    assert [(name, severity) for name, severity, _ in ROWS] == [
        (code.value, code.severity.value) for code in LintCode
    ]
