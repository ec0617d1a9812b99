"""`doorward invite` on the server, `doorward enroll` on the machine of the user."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from doorward.cli.command import Command, State, actor
from doorward.cli.directory import names_of
from doorward.core.ports import KeyKind


@click.command("invite", cls=Command)
@click.argument("name", shell_complete=names_of(None))
@click.option("--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="How long the link works.")
@click.pass_obj
def invite(state: State, name: str, hours: int) -> None:
    """Print a one-time link with which NAME gets a certificate."""
    from doorward.enrolment.invitation import invite as use_case  # noqa: PLC0415  loaded when called

    installation = state.installation()
    invitation = use_case(installation.services, name, lifetime=timedelta(hours=hours), actor=actor())
    link = installation.enrolment_link(invitation.token)
    state.output.result(
        {"name": name, "link": link, "command": f"doorward enroll '{link}'", "expires_at": invitation.record.expires_at},
        f"A one-time link for [bold]{name}[/bold], good until {invitation.record.expires_at:%Y-%m-%d %H:%M}Z:",
        "",
        f"  {link}",
        "",
        "On the machine that shall hold the key:",
        "",
        f"  doorward enroll '{link}'",
        "",
        "[dim]Whoever has the link first gets the certificate: send it on a way that only they read.[/dim]",
    )


@click.command("enroll", cls=Command)
@click.argument("link")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("doorward-certificate"),
              show_default=True, help="Folder for key, certificate and PKCS#12 file.")
@click.option("--key", "kind", type=click.Choice([kind.value for kind in KeyKind]), default="p256", show_default=True,
              help="Kind of key to make.")
@click.option("--force", is_flag=True, help="Replace what is in the folder.")
@click.pass_obj
def enroll(state: State, link: str, out: Path, kind: str, force: bool) -> None:
    """Make a key here, and get its certificate with a one-time LINK."""
    from doorward.runtime.enrolling import enroll as run  # noqa: PLC0415  loaded when called

    done = run(link, out=out, kind=KeyKind(kind), force=force)
    state.output.result(done.value, *done.lines)
