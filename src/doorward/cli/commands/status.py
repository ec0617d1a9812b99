"""`doorward status`: is every part well, what is wrong, what to do."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.output import UNAVAILABLE
from doorward.cli.screen import escape
from doorward.cli.state import State

if TYPE_CHECKING:
    from doorward.runtime.condition_part import Part


@click.command("status", cls=Command)
@click.pass_obj
def status(state: State) -> None:
    """Say whether every part is well, what is wrong, and what to do; exit code 3 if something is wrong."""
    installation = state.installation()
    found = parts.condition.examine(installation, datetime.now(UTC))
    value = {"well": all(not one.trouble for one in found), "parts": [_value(one) for one in found]}
    lines = []
    for part in found:
        good = "[yellow]![/yellow]" if part.warnings else "[green]✓[/green]"
        mark = "[red]✗[/red]" if part.trouble else good
        lines.append(f"{mark} [bold]{part.name:<12}[/bold] {escape(part.text)}")
        lines += [f"    [red]{escape(text)}[/red]" for text in part.trouble]
        lines += [f"    [yellow]{escape(text)}[/yellow]" for text in part.warnings]
        lines += [f"    [dim]→ {escape(text)}[/dim]" for text in part.hints]
    state.output.result(value, *lines)
    if not value["well"]:
        sys.exit(UNAVAILABLE)


def _value(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "text": part.text,
        "trouble": list(part.trouble),
        "warnings": list(part.warnings),
        "hints": list(part.hints),
        **json.loads(json.dumps(part.facts, default=str)),
    }
