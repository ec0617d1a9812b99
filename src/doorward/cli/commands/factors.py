"""`doorward factor`: second factors of persons. An administrator invites and resets, and never reads a secret."""

from __future__ import annotations

from datetime import timedelta

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_principal
from doorward.cli.confirming import YES, ask, confirmed
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind

_PERSON = complete_principal(PrincipalKind.PERSON)

_ENDED = "this link voids what was open before: earlier links, and the 15 minutes in which a new certificate may add its first factor"


@click.command("list", cls=Command)
@click.argument("name", shell_complete=_PERSON)
@click.pass_obj
def list_(state: State, name: str) -> None:
    """List the second factors of NAME, oldest first. All recovery codes share one line. A passkey is `lost` if it belongs to another host name."""
    installation = state.installation()
    person, factors = parts.removing.list_factors(
        installation.services, name, rp_id=installation.portal_host()
    )
    rows = [
        {
            "id": one.id,
            "kind": one.kind.value,
            "name": one.name,
            "number": one.number,
            "created_at": one.created_at,
            "last_used_at": one.last_used_at,
            "lost": one.lost,
        }
        for one in factors
    ]
    columns = ["kind", "name", "number", "created_at", "last_used_at", "id"]
    if any(one.lost for one in factors):
        columns.append("lost")
    empty = f"{person.name} has no second factor; invite to enrol one: doorward factor invite {person.name}"
    state.output.table(rows, columns, empty=empty)


@click.command("invite", cls=Command)
@click.argument("name", shell_complete=_PERSON)
@click.option(
    "--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="How long the link works."
)
@click.pass_obj
def invite(state: State, name: str, hours: int) -> None:
    """Print a one-time link with which NAME enrols a second factor on the portal. NAME needs a valid certificate for it."""
    installation = state.installation()
    invitation = parts.enrolment_tickets.invite_to_enrol(
        installation.services, name, lifetime=timedelta(hours=hours), actor=actor()
    )
    # In the fragment: browsers do not send it, so no log has it (docs/design/0003).
    link = f"{installation.portal_origin()}/enrol#token={invitation.token}"
    until = invitation.ticket.expires_at
    notes = [] if invitation.has_certificate else [f"{name} has no valid certificate: doorward invite {name}"]
    if not installation.is_portal_trusted():
        notes.append(parts.portal_trust.UNTRUSTED)
    if invitation.ended:
        notes.append(_ENDED)
    state.output.result(
        {"id": invitation.ticket.id, "name": name, "link": link, "expires_at": until},
        f"A one-time link for [bold]{escape(name)}[/bold], good until {until:%Y-%m-%d %H:%M}Z:",
        "",
        f"  {escape(link)}",
        "",
        f"[dim]It works only with a certificate of {escape(name)}. To take it back: "
        f"doorward factor invite {escape(name)} (a new link voids it).[/dim]",
        notes=notes,
    )


@click.command("reset", cls=Command)
@click.argument("name", shell_complete=_PERSON)
@YES
@click.pass_obj
def reset(state: State, name: str, yes: bool) -> None:
    """Remove every second factor of NAME and end all sessions; rules that require a second factor refuse NAME until NAME enrols a new one."""
    services = state.installation().services
    person, factors = parts.removing.list_factors(services, name)
    what = ", ".join(one.kind.value for one in factors) or "none"
    ask(state, f"remove every second factor of {person.name} ({what}) and end all of its sessions?", yes=yes)
    done = parts.removing.reset_factors(services, name, actor=actor())
    value, line = confirmed(services, done.seq, done.notes)
    count = f"{done.value} second factor{'s' if done.value != 1 else ''}"
    state.output.result(
        {"name": person.name, "removed": done.value, "seq": done.seq, **value},
        f"removed {count} of [bold]{escape(person.name)}[/bold] and ended all sessions",
        line,
        f"next: doorward factor invite {escape(person.name)}",
        notes=done.notes,
    )
