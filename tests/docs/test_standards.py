"""docs/standards.md decides the cases of conformance suites as the tests do, with the same reasons."""

from __future__ import annotations

import re

from tests.protocol.suites.decisions import LIMBO, PKITS, WIRE
from tests.support.walkthrough import ROOT

PAGE = (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")


def _rows(heading: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the table with this heading in its first column: id -> answer, reason."""
    table = PAGE.partition(f"| {heading} | our answer | reason |\n")[2].partition("\n\n")[0]
    return {
        name: (answer, reason)
        for name, answer, reason in re.findall(r"^\| `(.+?)` \| (\w+) \| (.+) \|$", table, re.MULTILINE)
    }


def test_what_is_decided_otherwise_than_limbo_is_listed() -> None:
    """The table of x509-limbo cases has exactly the decisions of the test."""
    assert _rows("case of x509-limbo") == LIMBO


def test_what_is_missed_of_pkits_is_listed() -> None:
    """The table of NIST PKITS misses has exactly those of the test."""
    assert _rows("test of NIST PKITS") == PKITS


def test_what_the_door_answers_otherwise_is_listed() -> None:
    """The table of the cases at a door has exactly the decisions of the test."""
    assert _rows("case at a door") == WIRE
