"""The page of reasons names every reason, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from doorward.core.entities import Outcome, Reason

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "reasons.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.+?) \|", PAGE, re.MULTILINE)


def test_every_reason_has_its_row() -> None:
    """Each reason of the code has one row, and each row is a reason of the code."""
    assert sorted(name for name, _, _ in ROWS) == sorted(reason.value for reason in Reason)


def test_every_row_says_what_it_means() -> None:
    """A row has an outcome that verdicts have, and words."""
    outcomes = {outcome.value for outcome in Outcome}
    assert all(outcome in outcomes and len(meaning) > 5 for _, outcome, meaning in ROWS)
