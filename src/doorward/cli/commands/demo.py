"""`doorward demo`: a complete working example."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.output import REFUSED
from doorward.cli.screen import escape
from doorward.cli.state import State

if TYPE_CHECKING:
    from doorward.demo.teller import Teller


@click.command("demo", cls=Command)
@click.option("--once", is_flag=True, help="Play the story, compare it with what has to happen, and exit.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this new folder; with --once its record is the one that the last scene altered.",
)
@click.option(
    "--database",
    default="",
    help="Address of an empty PostgreSQL database to play on; it is empty again afterwards, unless --keep is given.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the door; otherwise a free one.")
@click.pass_obj
def demo(state: State, once: bool, keep: Path | None, database: str, port: int | None) -> None:
    """A little bank behind the door. Without --once it stays up, and prints commands to try."""
    parts.logging.configure_logging("error", role="demo")
    began = time.monotonic()
    tell = parts.teller.open_teller(silent=state.output.as_json)
    with ExitStack() as standing:
        folder = standing.enter_context(parts.scenery.workplace(keep))
        stop = standing.enter_context(parts.roles.stopping())
        tell.title(
            "A little bank, and who may enter",
            f"https://{parts.scenery.HOST}, on this machine only; everything is real",
        )
        with tell.preparing("founding an authority, opening the door, enrolling alice, bob and carol"):
            scene = standing.enter_context(
                parts.scenery.scenery(folder, port=port, database=database, keep=keep is not None)
            )
        if once:
            parts.story.play(scene, tell)
        else:
            say_commands(state, parts.trying.commands_to_try(scene))
            scene.up.watch(
                stop, restarted=lambda role: state.output.note(f"`doorward {role}` was started again")
            )
    if once:
        say_end(state, tell, time.monotonic() - began, kept=folder if keep else None)


def say_end(state: State, tell: Teller, seconds: float, *, kept: Path | None) -> None:
    """Say how the story came out, and what is left of it."""
    tell.end(seconds)
    value = tell.value()
    if kept:
        # Nobody shall take the database of the last scene for one that can be gone on with.
        data = kept / "data"
        tell.aside(f"kept in {kept}, with the record that the last scene altered:")
        tell.aside(f"doorward audit verify --data {shlex.quote(str(data))}")
        value |= {"kept": str(kept), "record_altered": True}
    if state.output.as_json:
        state.output.document(value)
    if not tell.well:
        sys.exit(REFUSED)


def say_commands(state: State, commands: list[tuple[str, str]]) -> None:
    """Print what can be tried while the door is open."""
    value = {"commands": [{"shows": what, "command": command} for what, command in commands]}
    lines = [line for what, command in commands for line in (f"[dim]# {what}[/dim]", f"{escape(command)}\n")]
    state.output.result(
        value, "The door is open. In another terminal:\n", *lines, "[dim]Ctrl-C closes the door.[/dim]"
    )
    sys.stdout.flush()
