"""`doorward enroll`: a one-time link becomes an identity, on the machine of the user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.screen import escape
from doorward.cli.state import State
from doorward.core.ports import KeyKind

if TYPE_CHECKING:
    from doorward.agent.client import Enrolled


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
