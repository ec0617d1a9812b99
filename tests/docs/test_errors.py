"""docs/reference/errors.md has every error code of the source, and no other."""

from __future__ import annotations

import re

from tests.support.walkthrough import ROOT
from tools.reference.codes import find_codes

PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")

ELSEWHERE = {
    "aborted",  # cli.command says these two itself
    "usage-error",
    "common-name-malformed",  # core.names makes it from two words
    "internal-error",
    "method-wrong",  # the router's refusals have their codes in web.problems
    "organization-malformed",
    "principal-removed",  # made from the principal's state
    "refused",
}
"""Codes that the source does not hold as one word where it raises them."""

NOT_CODES = {"certificate-refused"}


def _in_tables() -> set[str]:
    """Return the codes in the first cells of the tables."""
    return {
        code
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`([a-z][a-z0-9:-]+)`", line.split("|")[1])
    }


def test_every_code_is_documented() -> None:
    """Each code that the source raises stands on the page."""
    named = set(re.findall(r"`([a-z][a-z0-9]*(?:[-:][a-z0-9]+)*)`", PAGE))
    assert sorted(find_codes().keys() - named) == []


def test_every_documented_code_is_raised() -> None:
    """Each code in a table of the page is raised somewhere."""
    assert sorted(_in_tables() - find_codes().keys() - ELSEWHERE) == []


def test_every_fault_of_the_lint_is_listed() -> None:
    """Each rule of the certificate lint stands in the page's last section."""
    source = (ROOT / "src/doorward/pki/lint.py").read_text(encoding="utf-8")
    faults = set(re.findall(r'_fault\(\s*"([a-z-]+)"', source))
    listed = set(re.findall(r"`([a-z-]+)`", PAGE.partition("\n## Lint\n")[2])) - NOT_CODES
    assert faults == listed
