"""What the lists have in common: `--csv`, and the word that there is more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from doorward.cli.state import State

CSV = click.option("--csv", "as_csv", is_flag=True, help="Print CSV for a spreadsheet, formulas neutralised.")


def note_more(state: State, *, more: bool, how: str = "name a larger --limit") -> None:
    """Say on standard error that a list has more rows, if so: not in the document, because scripts rely on a list."""
    if more:
        state.output.note(f"there are more: {how}", also_json=True)


def refuse_two_forms(state: State, *, as_csv: bool) -> None:
    """Refuse `--csv` together with `--json`."""
    if as_csv and state.output.as_json:
        raise click.UsageError("Choose one of --csv and --json.")
