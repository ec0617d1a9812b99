"""`doorward up|init|serve|gateway`: starting an installation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.screen import escape
from doorward.cli.state import State, actor

if TYPE_CHECKING:
    from doorward.gateway.connections.cutter import Mechanism
    from doorward.runtime.compose import Installation
    from doorward.runtime.initialise import Initialised, InitialisedBelowRoot
    from doorward.runtime.settings import Settings
    from doorward.runtime.starting import Prepared

TRUST_DOMAIN = click.option(
    "--trust-domain", help="Domain of all names in certificates, such as corp.example."
)
DATABASE = click.option(
    "--database",
    help="Address of a PostgreSQL database, without a password; otherwise SQLite, in the data directory.",
)
LISTEN = click.option("--listen", help="Where the door listens, address:port.")
STATUS_LISTEN = click.option(
    "--status-listen", help="Where CRL, OCSP and CA certificates are served, address:port."
)
STATUS_URL = click.option(
    "--status-url", help="Public address of the status listener; certificates contain it."
)


@click.command("init", cls=Command)
@TRUST_DOMAIN
@DATABASE
@LISTEN
@STATUS_LISTEN
@STATUS_URL
@click.option(
    "--root-offline",
    is_flag=True,
    help="The root is elsewhere: only make the request that it signs; `doorward ca install --root` makes the authority.",
)
@click.pass_obj
def init(state: State, /, root_offline: bool, **explicit: str | None) -> None:
    """Make a new installation: data directory, keys, authority; after an update, bring an old database to this version."""
    installation = state.installation()
    if installation.layout.founded.exists():
        _update(state, installation, _given(explicit))
        return
    given = _given(explicit)
    if root_offline:
        _ask_root(state, given)
        return
    done = parts.initialise.initialise(
        state.settings(**given), parts.world.SystemRandom(), actor=actor(), explicit=given
    )
    state.output.result(
        {
            "data": str(done.settings.data),
            "trust_domain": done.tenant.trust_domain,
            "passphrase_file": str(done.passphrase_file),
        },
        *_told(done),
        "[dim]next:[/dim] doorward up",
    )


def _ask_root(state: State, given: dict[str, str]) -> None:
    done = parts.initialise.initialise_below_root(
        state.settings(**given), parts.world.SystemRandom(), explicit=given
    )
    files = done.files
    state.output.result(
        {
            "request": str(files.request),
            "extensions": str(files.extensions),
            "passphrase_file": str(done.passphrase_file),
            "founded": False,
        },
        f"waiting for the root: give it {files.request.name} and {files.extensions.name} "
        f"of {escape(str(files.request.parent))}",
        _passphrase_line(done),
        "[dim]next:[/dim] doorward ca install CERTIFICATE --root ROOT",
    )


def _update(state: State, installation: Installation, given: dict[str, str]) -> None:
    before = parts.starting.bring_up_to_date(installation, _reader(state), given)
    state.output.result(
        {"data": str(installation.settings.data), "schema_before": before},
        f"[green]✓[/green] the database in {escape(str(installation.settings.data))} now has the schema of this version",
        "[dim]next:[/dim] doorward up",
    )


def _reader(state: State) -> Callable[[Mapping[str, str]], Settings]:
    return lambda given: state.settings(**given)


def _given(explicit: dict[str, str | None]) -> dict[str, str]:
    """Return the options that were given, under the names of their settings."""
    named = {name: value for name, value in explicit.items() if value is not None}
    return {"gateway_listen" if name == "listen" else name: value for name, value in named.items()}


def _told(done: Initialised) -> list[str]:
    return [
        f"[green]✓[/green] an authority for [bold]{done.tenant.trust_domain}[/bold] in {escape(str(done.settings.data))}",
        _passphrase_line(done),
        "  [dim]back up both, apart from each other; then export and remove the root's key: doorward ca export --root --out root-key.pem[/dim]",
    ]


def _passphrase_line(done: Initialised | InitialisedBelowRoot) -> str:
    made = " (made now)" if done.passphrase_made else ""
    return f"  the passphrase of its keys is in [bold]{escape(str(done.passphrase_file))}[/bold]{made}"


@click.command("serve", cls=Command)
@click.pass_obj
def serve(state: State) -> None:
    """Run the authority: CRL, OCSP, enrolment, evidence. Part of `up`."""
    installation = _role(state, "serve")
    with parts.stop_signals.stopping() as stop:
        parts.serve.run_serve(installation, stop, started=lambda: say_serving(state, installation))


def say_serving(state: State, installation: Installation) -> None:
    """Print that the authority serves."""
    enrolment = str(installation.layout.enrol_socket)
    _ready(state, {"status": installation.settings.status_listen, "enrolment": enrolment})


@click.command("gateway", cls=Command)
@click.pass_obj
def gateway(state: State) -> None:
    """Run the door: Envoy, and the decisions about each connection. Part of `up`."""
    installation = _role(state, "gateway")
    with parts.stop_signals.stopping() as stop:
        parts.gateway.run_gateway(
            installation,
            stop,
            started=lambda gateway: say_gateway(state, installation.settings, gateway.cutter.mechanism),
        )


def say_gateway(state: State, settings: Settings, cuts_by: Mechanism) -> None:
    """Print that the door is open."""
    value = {"listening": settings.gateway_listen, "name": settings.gateway_name}
    _ready(state, {**value, "cuts_by": cuts_by.value})


def _ready(state: State, value: dict[str, str]) -> None:
    """Say that the part is ready: with --json as a document, and to `up` if `up` waits for it.

    People read the same facts in the log, on standard error.
    """
    state.output.result({**value, "pid": os.getpid()})
    sys.stdout.flush()
    parts.roles.say_ready()


def _role(state: State, role: str) -> Installation:
    installation = state.installation(one_shot=False)
    parts.logging.configure_logging(
        installation.settings.log_level, role=role, incidents=installation.layout.incidents
    )
    installation.require_founded()
    click.get_current_context().with_resource(parts.layout.only_one(installation.layout, role))
    return installation


@click.command("up", cls=Command)
@TRUST_DOMAIN
@DATABASE
@LISTEN
@STATUS_LISTEN
@STATUS_URL
@click.pass_obj
def up(state: State, /, **explicit: str | None) -> None:
    """Run everything on this machine, in the foreground; makes an installation on the first start."""
    out, given = state.output, _given(explicit)
    installation = state.installation()
    if not installation.layout.founded.exists():
        installation.layout.create()
    with parts.layout.only_one(installation.layout, "up"):
        ready = parts.starting.prepare_up(installation, _reader(state), given, actor=actor())
        _say_first_start(state, ready)
        settings = ready.settings
        installation.close()
        parts.logging.configure_logging(settings.log_level, role="up")
        parent = parts.up.Up(
            settings, environment={f"DOORWARD_{name.upper()}": value for name, value in ready.given.items()}
        )
        with parts.stop_signals.stopping(at_once=parent.abandon) as stop:
            if not parent.start(stop):
                out.result({"stopped": True}, "stopped before the door was open")
                return
            try:
                say_open(state, settings)
                parent.watch(stop, restarted=lambda role: out.note(f"`doorward {role}` was started again"))
            finally:
                parent.end()


def _say_first_start(state: State, ready: Prepared) -> None:
    """Print what was made, on standard error, because the result is that the door is open."""
    if ready.made is None:
        return
    lines = _told(ready.made)
    if ready.domain_chosen:
        domain = ready.made.tenant.trust_domain
        lines += [
            f"  [yellow]no trust domain was given: it is {domain}, for use on this machine, and cannot be changed[/yellow]",
            "  [dim]for another one: stop, and start in another directory with --trust-domain corp.example[/dim]",
        ]
    for line in lines:
        state.output.err.print(line)


def say_open(state: State, settings: Settings) -> None:
    """Print that everything runs."""
    state.output.result(
        {"listening": settings.gateway_listen, "status": settings.status_listen, "pid": os.getpid()},
        f"[green]✓[/green] the door is open on [bold]{escape(settings.gateway_listen)}[/bold]; "
        f"status on http://{escape(settings.status_listen)}; Ctrl-C closes it",
    )
    sys.stdout.flush()
