"""`doorward session`: list and end sessions that a second factor opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_principal, complete_session
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.screen import escape
from doorward.cli.state import State, actor

if TYPE_CHECKING:
    from doorward.stores.services import Services

_REASON = "ended-by-administrator"


@click.command("list", cls=Command)
@click.argument("name", required=False, shell_complete=complete_principal())
@click.pass_obj
def list_(state: State, name: str | None) -> None:
    """List the open sessions of NAME or of all persons, oldest first. The application `portal` is the portal itself."""
    rows = [
        {
            "id": one.session.id,
            "name": one.name,
            "application": one.application,
            "factors": sorted(kind.value for kind in one.session.factors),
            "source": one.session.source,
            "client": one.session.client,
            "certificate": one.session.certificate_id,
            "created_at": one.session.created_at,
            "seen_at": one.session.seen_at,
            "ends_at": one.session.ends_at,
        }
        for one in parts.session_views.list_session_views(state.installation().services, name)
    ]
    columns = ["id", "name", "application", "factors", "source", "created_at", "ends_at"]
    state.output.table(rows, columns, empty="no open sessions")


@click.command("end", cls=Command)
@click.argument("session_id", metavar="SESSION", required=False, shell_complete=complete_session)
@click.option(
    "--all", "name", metavar="NAME", shell_complete=complete_principal(), help="End every session of NAME."
)
@click.option("--everyone", is_flag=True, help="End every session of every person.")
@YES
@click.pass_obj
def end(state: State, session_id: str | None, name: str | None, everyone: bool, yes: bool) -> None:
    """End the session with this id, or with `--all` every session of NAME. The next request needs a second factor again.

    Ending a session at an application ends all sessions of that person there, because they share one epoch.
    """
    if sum((session_id is not None, name is not None, everyone)) != 1:
        raise click.UsageError(
            "Name one SESSION (`doorward session list` shows the open ones), or say --all NAME or --everyone."
        )
    services = state.installation().services
    if everyone:
        ask(state, "end the sessions of all?", yes=yes)
        _end_everyone(state, services)
    elif name is not None:
        _end_all(state, services, name)
    elif session_id is not None:
        _end_one(state, services, session_id)


def _end_one(state: State, services: Services, session_id: str) -> None:
    done = parts.sessions.end_session(services, session_id, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"id": done.value.id, "seq": done.seq, **value}, f"ended the session {escape(done.value.id)}", line
    )


def _end_all(state: State, services: Services, name: str) -> None:
    principal = parts.principals.find_principal(services, name)
    done = parts.sessions.sign_out(services, principal.id, reason=_REASON, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result(
        {"name": principal.name, "ended": done.value, "seq": done.seq, **value},
        f"ended {_count(done.value)} of [bold]{escape(principal.name)}[/bold]",
        line,
    )


def _end_everyone(state: State, services: Services) -> None:
    done = parts.session_ending.end_everyone(services, reason=_REASON, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    state.output.result({"ended": done.value, "seq": done.seq, **value}, f"ended {_count(done.value)}", line)


def _count(number: int) -> str:
    return f"{number} session{'s' if number != 1 else ''}"
