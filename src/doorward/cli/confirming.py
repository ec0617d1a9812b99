"""Questions before a loss, and the confirmation of a change by the gateways."""

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
FORCE = click.option("--force", is_flag=True, help="With --out: replace a file that exists.")
PATIENCE_SECONDS = 5.0
"""How long a command waits for gateways that are alive."""


def may_ask(state: State) -> bool:
    """Return whether a question can be asked: standard input is a terminal, and `--json` is not given."""
    return not state.output.as_json and sys.stdin.isatty()


def ask(state: State, question: str, *, yes: bool) -> None:
    """Ask before a right or an object is removed.

    Without a terminal nothing is asked and the change is made: a removal never opens access, and a script that removes a
    person must not fail at a question.

    Raises:
        RequestRefused: `not-confirmed`.
    """
    if yes or not may_ask(state):
        return
    if not click.confirm(escape_unprintable(question), err=True):
        raise RequestRefused("not-confirmed", "nothing was changed", hint="answer y, or add --yes")


def ask_always(
    state: State, question: str, *, yes: bool, hint: str = "if this is what you want, add --yes"
) -> None:
    """Ask before something is destroyed that no command brings back, such as a key; a script must say `--yes`.

    Args:
        state: the command.
        question: what will happen, a sentence without its end.
        yes: whether `--yes` was given.
        hint: what to do if nothing can be asked.

    Raises:
        RequestRefused: `not-confirmed`; also if nothing can be asked and `yes` is not given.
    """
    if not yes and not may_ask(state):
        raise RequestRefused(
            "not-confirmed",
            f"nothing was changed, because this needs a confirmation: {question}",
            hint=hint,
        )
    ask(state, f"{question}. Go on?", yes=yes)


def check_refusals(services: Services, revision: int, notes: Sequence[str] = ()) -> None:
    """Return if Envoy accepted a revision as a whole, at every gateway that reported recently.

    Args:
        services: the ports of this process.
        revision: the number of the revision, which the gateways have confirmed.
        notes: what else the command did; the error has them too, because the revision is in force.

    Raises:
        RequestRefused: `applications-refused`, with Envoy's words.
    """
    refused: dict[str, str] = {}
    for one in parts.gateways.confirmations(services, 0):
        if one.fresh:
            refused |= parts.gateways.refused_applications(one.gateway)
    if not refused:
        return
    words = "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
    error = RequestRefused(
        "applications-refused",
        f"revision {revision} is in force, except for what Envoy refused ({words})",
        hint="correct the application and apply again; `doorward status` says which application is closed until then",
    )
    for note in notes:
        error.add_note(note)
    raise error


def confirmed(services: Services, seq: int, notes: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    """Wait for the gateways; return the JSON part and the line for people.

    Args:
        services: the ports of this process.
        seq: the number of the change.
        notes: what else the change did; the error has them too, because the change is stored.

    Raises:
        Unavailable: `gateways-behind` if a gateway that is alive did not confirm. The change is stored, and the error
            says so.
    """
    states, waited = parts.gateways.await_confirmations(
        services, seq, sleep=time.sleep, patience_seconds=PATIENCE_SECONDS
    )
    behind = [one.gateway.name for one in states if one.fresh and not one.confirmed]
    away = [one.gateway.name for one in states if not one.fresh and not one.confirmed]
    if behind:
        error = Unavailable(
            "gateways-behind",
            f"the change is stored (number {seq}), but these gateways did not confirm it: {', '.join(behind)}",
            hint="run `doorward status` after a few seconds; until a gateway confirms, it admits new connections only "
            "at applications that the change does not alter",
            seq=seq,
        )
        for note in notes:
            error.add_note(note)
        raise error
    enforced = [one.gateway.name for one in states if one.confirmed]
    value = {"confirmed_by": enforced, "away": away, "milliseconds": round(waited * 1000, 1)}
    if not states:
        return value, "[dim]no gateway runs; the change takes effect when one starts[/dim]"
    line = f"[dim]in force at {', '.join(enforced) or 'no gateway'}"
    line += f" after {value['milliseconds']} ms[/dim]" if enforced else "[/dim]"
    if away:
        line += (
            f" [yellow]away: {', '.join(away)} (lets no connection in before it knows this change)[/yellow]"
        )
    return value, line
