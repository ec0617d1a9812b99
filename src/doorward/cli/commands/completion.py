"""`doorward completion`: tab completion for bash, zsh and fish; and the names that it knows.

Commands and options are click's own knowledge. Names come from the installation that the line speaks
of; a completion that fails completes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from doorward.cli import parts
from doorward.cli.command import Command, read_state
from doorward.cli.state import State
from doorward.core.entities import PrincipalKind

if TYPE_CHECKING:
    from doorward.stores.services import Services

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

HOW = {
    "bash": "doorward completion bash > ~/.local/share/bash-completion/completions/doorward",
    "zsh": 'doorward completion zsh > "${fpath[1]}/_doorward"',
    "fish": "doorward completion fish > ~/.config/fish/completions/doorward.fish",
}


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(list(HOW)))
@click.pass_obj
@click.pass_context
def completion(ctx: click.Context, state: State, shell: str) -> None:
    """Print the script that completes commands, options and names in a shell."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover  the choice above names only shells that click knows
        raise click.UsageError(f"no completion for {shell}")
    script = kind(ctx.find_root().command, {}, "doorward", "_DOORWARD_COMPLETE").source()
    if state.output.as_json:
        state.output.document({"shell": shell, "script": script})
        return
    click.echo(script)
    if state.output.out.is_terminal:
        state.output.note(f"to keep it: {HOW[shell]}")


def complete_principal(kind: PrincipalKind | None = None) -> Completer:
    """Return a completion function for the names of one kind of principal, or of all."""

    def names(services: Services) -> Iterable[str]:

        return (one.name for one in parts.principals.list_principals(services, kind))

    return _completer(names)


def _groups(services: Services) -> Iterable[str]:

    return parts.principals.list_groups(services)


def _apps(services: Services) -> Iterable[str]:
    with services.work.read() as stores:
        return [one.name for one in stores.applications.list()]


def _partners(services: Services) -> Iterable[str]:
    with services.work.read() as stores:
        return [one.name for one in stores.partners.list()]


def _invitations(services: Services) -> Iterable[str]:

    return (record.id for record, _ in parts.invitations.list_open(services))


def _completer(names: Callable[[Services], Iterable[str]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  click's
        try:
            with ctx:  # what is opened for it is closed with it
                installation = read_state(ctx).installation()
                return [name for name in names(installation.services) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001  a completion that fails completes nothing
            return []

    return complete


complete_group = _completer(_groups)
complete_app = _completer(_apps)
complete_partner = _completer(_partners)
complete_invitation = _completer(_invitations)
