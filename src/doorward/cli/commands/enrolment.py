"""`doorward invite` and `doorward invitation` on the server, `doorward enroll` on the machine of the user."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_invitation, complete_principal
from doorward.cli.screen import escape
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind

if TYPE_CHECKING:
    from doorward.agent.client import Enrolled


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


@click.command("enroll", cls=Command)
@click.argument("link")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("doorward-certificate"),
    show_default=True,
    help="Folder for key, certificate and PKCS#12 file.",
)
@click.option(
    "--key",
    "kind",
    type=click.Choice([kind.value for kind in KeyKind]),
    default="p256",
    show_default=True,
    help="Kind of key to make.",
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["windows", "macos", "ios", "android", "java", "firefox", "linux"]),
    help="System or program that will import the PKCS#12 file; without it, this machine.",
)
@click.option(
    "--p12-legacy", is_flag=True, help="Encode the PKCS#12 file for old systems (weaker encryption)."
)
@click.option("--force", is_flag=True, help="If the folder has files, move them aside.")
@click.pass_obj
def enroll(
    state: State, /, link: str, *, out: Path, kind: str, target: str | None, p12_legacy: bool, force: bool
) -> None:
    """Make a key here, and get its certificate with a one-time LINK."""
    place = parts.pkcs12.Target(target) if target else parts.pkcs12.local_target(sys.platform)
    form = parts.pkcs12.Pkcs12Form.LEGACY if p12_legacy else parts.pkcs12.choose_form(place)
    done = parts.client.enroll(
        parts.link.parse_link(link),
        out=out,
        clock=parts.world.SystemClock(),
        random=parts.world.SystemRandom(),
        factory=parts.world.SoftwareKeys(),
        key_kind=KeyKind(kind),
        p12_form=form,
        force=force,
    )
    say_enrolled(state, done)


def say_enrolled(state: State, done: Enrolled) -> None:
    """Print where the files are, and the password of the PKCS#12 file."""
    certificate = done.credential.certificate
    value = {
        "name": done.credential.name,
        "key": str(done.key),
        "certificate": str(done.certificate),
        "chain": str(done.chain),
        "root": str(done.root),
        "p12": str(done.p12),
        "p12_password": done.p12_password,
        "not_after": certificate.not_valid_after_utc,
        "previous": str(done.previous or ""),
    }
    state.output.result(
        value,
        f"[green]✓[/green] a certificate for [bold]{done.credential.name}[/bold], "
        f"until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}Z",
        f"  for programs: {escape(str(done.chain))} with the key {escape(str(done.key))}",
        f"  for browsers: import {escape(str(done.p12))}",
        f"  its password, shown only now: [bold]{escape(done.p12_password)}[/bold]",
        *(
            [f"  [dim]what was there before is in {escape(str(done.previous))}[/dim]"]
            if done.previous
            else []
        ),
    )
