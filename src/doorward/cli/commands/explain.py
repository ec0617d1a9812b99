"""`doorward explain`: what the record has about one incident, request, decision, certificate or event."""

from __future__ import annotations

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.screen import escape
from doorward.cli.state import State


@click.command("explain", cls=Command)
@click.argument("what", metavar="ID")
@click.pass_obj
def explain(state: State, what: str) -> None:
    """Tell what happened to one request, connection, decision, session, factor, certificate or event, and what to do.

    Every refusal page shows an incident id, such as 3f2a-9c1b; problem documents and the log have it too. It may be
    typed in capitals, with a space in the place of the hyphen, or without the hyphen. If several requests have the same
    id, all are listed.
    """
    told = parts.explaining.explain_id(state.installation(), what.strip())
    lines = [f"[bold]{escape(told.title)}[/bold]"]
    lines += [f"  [dim]{escape(name):<16}[/dim] {escape(value)}" for name, value in told.facts]
    lines += [escape(line) for line in told.lines]
    lines += [f"[dim]\u2192 {escape(hint)}[/dim]" for hint in told.hints]
    state.output.result(told.value, *lines)
