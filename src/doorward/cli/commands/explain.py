"""`doorward explain`: what is known of one request, decision, certificate, event or incident."""

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
    """Tell what happened to one request, connection, decision, certificate, session, factor or event, or what an incident was.

    The id of a request is on the page of a refusal, the number of an incident on that of an internal error.
    """
    told = parts.explaining.explain_id(state.installation(), what.strip())
    lines = [f"[bold]{escape(told.title)}[/bold]"]
    lines += [f"  [dim]{escape(name):<16}[/dim] {escape(value)}" for name, value in told.facts]
    lines += [escape(line) for line in told.lines]
    lines += [f"[dim]\u2192 {escape(hint)}[/dim]" for hint in told.hints]
    state.output.result(told.value, *lines)
