"""Saying which gateways enforce a change, and which do not."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.untrusted_text import escape_unprintable

if TYPE_CHECKING:
    from doorward.cli.state import State
    from doorward.stores.services import Services

YES = click.option("--yes", is_flag=True, help="Do not ask.")
PATIENCE_SECONDS = 5.0
"""How long a command waits for gateways that are alive."""


def may_ask(state: State) -> bool:
    """Return whether a person is there to be asked: a terminal, and no `--json`."""
    return not state.output.as_json and sys.stdin.isatty()


def ask(state: State, question: str, *, yes: bool) -> None:
    """Ask before something is taken away.

    Without a terminal no question is asked and it is done: what is taken away shuts doors and opens none, and a
    script that removes a person must not leave that person in.

    Raises:
        RequestRefused: `not-confirmed`.
    """
    if yes or not may_ask(state):
        return
    if not click.confirm(escape_unprintable(question), err=True):
        raise RequestRefused("not-confirmed", "nothing was changed", hint="answer y, or add --yes")


def confirmed(services: Services, seq: int, notes: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    """Wait for the gateways; return the JSON part and the line for people.

    Args:
        services: the ports of this process.
        seq: the number of the change.
        notes: what else the change did: said with the error too, since the change is stored.

    Raises:
        Unavailable: `gateways-behind` where a gateway that is alive did not confirm. The change itself
            is stored and durable all the same, and the error says so.
    """
    states, waited = parts.gateways.await_confirmations(
        services, seq, sleep=time.sleep, patience_seconds=PATIENCE_SECONDS
    )
    behind = [one.gateway.name for one in states if one.fresh and not one.confirmed]
    away = [one.gateway.name for one in states if not one.fresh and not one.confirmed]
    if behind:
        error = Unavailable(
            "gateways-behind",
            f"the change is stored (number {seq}), but these gateways do not confirm it: {', '.join(behind)}",
            hint="look at `doorward status`; a gateway that stays behind refuses new connections by itself",
            seq=seq,
        )
        for note in notes:
            error.add_note(note)
        raise error
    enforced = [one.gateway.name for one in states if one.confirmed]
    value = {"confirmed_by": enforced, "away": away, "milliseconds": round(waited * 1000, 1)}
    if not states:
        return value, "[dim]no gateway runs; one that starts will follow[/dim]"
    line = f"[dim]in force at {', '.join(enforced) or 'no gateway'}"
    line += f" after {value['milliseconds']} ms[/dim]" if enforced else "[/dim]"
    if away:
        line += f" [yellow]away: {', '.join(away)} (admits nobody without knowing this)[/yellow]"
    return value, line
