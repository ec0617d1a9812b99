"""The tables in the record about the rollover are those of the code."""

from __future__ import annotations

from pathlib import Path

from doorward.authority.rollover.table import FACTS, TRANSITIONS, Side

RECORD = (
    Path(__file__).parents[2] / "docs" / "design" / "0083-the-issuing-authority-rolls-over-in-phases.md"
).read_text(encoding="utf-8")


def transition_rows() -> list[str]:
    """Return the rows of the steps."""
    return [
        f"| {before.value if before else '-'} | {step.value} | {after.value} |"
        for (before, step), after in TRANSITIONS.items()
    ]


def fact_rows() -> list[str]:
    """Return the rows of the states."""
    return [
        f"| {state.value} | {facts.issues.value} | {', '.join(side.value for side in Side if side in facts.trusted)} "
        f"| {facts.reissued.value if facts.reissued else '-'} |"
        for state, facts in FACTS.items()
    ]


def test_the_record_has_every_step_and_every_state() -> None:
    """If the table changes, this test prints the rows that belong into the record."""
    wanted = "\n".join(transition_rows())
    assert wanted in RECORD, wanted
    wanted = "\n".join(fact_rows())
    assert wanted in RECORD, wanted
