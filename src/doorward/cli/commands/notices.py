"""`doorward notices`: list the notices about certificates that end, and send a test message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.csv_option import note_more
from doorward.cli.screen import escape
from doorward.cli.state import State

if TYPE_CHECKING:
    from doorward.stores.notice_protocols import Notice

OUTCOMES = ("waiting", "sent", "dropped", "given-up")
"""As `stores.notice_protocols.NoticeOutcome`."""


@click.command("list", cls=Command)
@click.option("--outcome", type=click.Choice(OUTCOMES), help="List only notices with this outcome.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="List at most this many."
)
@click.pass_obj
def list_(state: State, outcome: str | None, limit: int) -> None:
    """List notices about certificates that end, newest first."""
    found = parts.notice_planning.list_notices(
        state.installation().services, outcome=outcome, limit=limit + 1
    )
    rows = [_row(one) for one in found[:limit]]
    state.output.table(
        rows, ["created_at", "channel", "outcome", "days", "certificate", "problem"], empty="no notices"
    )
    note_more(state, more=len(found) > limit)


def _row(one: Notice) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind.value,
        "channel": one.channel.value,
        "certificate": one.certificate_id,
        "days": one.days,
        "outcome": one.outcome.value,
        "created_at": one.created_at,
        "try_at": one.try_at,
        "done_at": one.done_at,
        "failures": one.failures,
        "problem": one.problem,
    }


@click.command("test", cls=Command)
@click.option(
    "--to",
    default="",
    metavar="ADDRESS",
    help="Send a mail to this address; without it, only the webhook is tried.",
)
@click.pass_obj
def test(state: State, to: str) -> None:
    """Send a test message by mail and to the webhook, as the settings say, and report what fails."""
    id_ = parts.notices.send_test(state.installation(), to)
    state.output.result(
        {"id": id_, "to": to}, f"sent [bold]{id_}[/bold]" + (f" to {escape(to)}" if to else "")
    )
