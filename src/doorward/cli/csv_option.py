"""`--csv` of the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from doorward.cli.state import State

CSV = click.option("--csv", "as_csv", is_flag=True, help="Print CSV for a spreadsheet, formulas neutralised.")


def refuse_two_forms(state: State, *, as_csv: bool) -> None:
    """Refuse `--csv` together with `--json`."""
    if as_csv and state.output.as_json:
        raise click.UsageError("Choose one of --csv and --json.")
