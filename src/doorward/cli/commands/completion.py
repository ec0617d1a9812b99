"""`doorward completion`: the script that completes words in bash, zsh and fish."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from doorward.cli.command import Command
from doorward.cli.state import State

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
