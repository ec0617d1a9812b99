"""docs/asvs.md has each requirement of level 2 of its chapters, and each is decided."""

from __future__ import annotations

import re

from tests.support.walkthrough import ROOT

PAGE = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (\d+\.\d+\.\d+(?:, \d+\.\d+\.\d+)*) .*?\| (met|n/a|other) \| (.+) \|$", PAGE, re.MULTILINE
)

LEVEL_2 = {
    "6.1": 3,
    "6.2": 12,
    "6.3": 4,
    "6.4": 4,
    "6.5": 5,
    "6.6": 3,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "9.1": 3,
    "9.2": 4,
}
"""Requirements of levels 1 and 2 in each section of ASVS 5.0; in each, those of level 3 come last."""


def test_every_requirement_is_decided_once() -> None:
    """None is left out, and none is made up."""
    listed = [number for numbers, _, _ in ROWS for number in numbers.replace(",", " ").split()]
    wanted = [f"{section}.{number}" for section, most in LEVEL_2.items() for number in range(1, most + 1)]
    assert sorted(listed) == sorted(wanted)


def test_what_is_met_names_its_test_or_the_place() -> None:
    """A row that is met points to a test, to the figures above, or to the lint."""
    bare = [
        numbers
        for numbers, answer, how in ROWS
        if answer == "met" and "`tests/" not in how and not re.search(r"\babove\b|by the lint", how)
    ]
    assert bare == []
