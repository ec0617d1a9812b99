"""`doorward invite` and `doorward invitation`: one-time links, on the server."""

from __future__ import annotations

from datetime import timedelta

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_invitation, complete_principal
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind


@click.command("invite", cls=Command)
@click.argument("name", shell_complete=complete_principal())
@click.option(
    "--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="How long the link works."
)
@click.pass_obj
def invite(state: State, name: str, hours: int) -> None:
    """Print a one-time link with which NAME gets a certificate. An open earlier link of NAME is withdrawn."""
    installation = state.installation()
    invitation = parts.inviting.invite(
        installation.services, name, lifetime=timedelta(hours=hours), actor=actor()
    )
    link = installation.enrolment_link(invitation.token)
    person = parts.principals.find_principal(installation.services, name).kind is PrincipalKind.PERSON
    browser = installation.joining_link(invitation.token) if person else ""
    est = "" if person else installation.est_origin()
    in_browser = (
        f"  {browser}",
        "",
        "Open it on the device that is to have the key. Or, on its command line:",
        "",
    )
    state.output.result(
        {
            "id": invitation.record.id,
            "name": name,
            "link": link,
            "browser_link": browser,
            "command": f"doorward enroll '{link}'",
            **({"est": {"url": est, "name": name, "password": invitation.token}} if est else {}),
            "expires_at": invitation.record.expires_at,
        },
        f"A one-time link for [bold]{name}[/bold], good until {invitation.record.expires_at:%Y-%m-%d %H:%M}Z:",
        "",
        *(in_browser if browser else (f"  {link}", "", "On the machine that is to have the key:", "")),
        f"  doorward enroll '{link}'",
        "",
        *(
            (f"Or with an EST client: {est}, user name {name}, password {invitation.token}", "")
            if est
            else ()
        ),
        *(
            [f"[dim]No link for a browser: {parts.portal_trust.UNTRUSTED}.[/dim]"]
            if person and not browser
            else []
        ),
        "[dim]The first to use the link gets the certificate: send it by a channel that only its owner reads.[/dim]",
        f"[dim]To take it back: doorward invitation revoke {invitation.record.id}[/dim]",
        notes=invitation.notes,
    )


@click.command("list", cls=Command)
@click.option(
    "--of",
    "name",
    shell_complete=complete_principal(),
    help="List only links for this person, device or service.",
)
@click.pass_obj
def list_(state: State, name: str | None) -> None:
    """List the one-time links that still work, oldest first; the links themselves are not stored."""
    rows = [
        {"id": record.id, "name": of, "created_at": record.created_at, "expires_at": record.expires_at}
        for record, of in parts.invitations.list_open(state.installation().services, name)
    ]
    state.output.table(rows, ["id", "name", "created_at", "expires_at"], empty="no open invitations")


@click.command("revoke", cls=Command)
@click.argument("invitation_id", metavar="INVITATION", shell_complete=complete_invitation)
@click.pass_obj
def revoke(state: State, invitation_id: str) -> None:
    """Withdraw the one-time link of INVITATION for good; `doorward invitation list` shows the id."""
    record = parts.invitations.withdraw(state.installation().services, invitation_id, actor=actor())
    state.output.result(
        {"id": record.id, "voided_at": record.voided_at}, f"the link {record.id} works no longer"
    )
