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
    from doorward.demo.report import Report


@click.command("demo", cls=Command)
@click.option(
    "--once", is_flag=True, help="Run every scene, compare each result with the expected one, and exit."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep all data in this new folder. With --once, the last scene has altered the audit log in it.",
)
@click.option(
    "--database",
    default="",
    help="Address of an empty PostgreSQL database for the demo. The demo empties it at the end, unless --keep is given.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the door; without it, a free port.")
@click.pass_obj
def demo(state: State, once: bool, keep: Path | None, database: str, port: int | None) -> None:
    """Run a little bank behind the door. Without --once, the demo runs until Ctrl-C and prints commands to try."""
    parts.logging.configure_logging("error", role="demo")
    began = time.monotonic()
    report = parts.report.open_report(silent=state.output.as_json)
    with ExitStack() as standing:
        folder = standing.enter_context(parts.environment.workplace(keep))
        stop = standing.enter_context(parts.stop_signals.stopping())
        report.title(
            "A little bank, and who may enter",
            f"https://{parts.environment.HOST}, on this machine only; everything is real",
        )
        with report.preparing("founding an authority, opening the door, enrolling alice, bob and carol"):
            scene = standing.enter_context(
                parts.environment.demo_environment(
                    folder, port=port, database=database, keep=keep is not None
                )
            )
        if once:
            parts.story.play(scene, report)
        else:
            say_commands(state, parts.trying.commands_to_try(scene))
            scene.up.watch(
                stop, restarted=lambda role: state.output.note(f"`doorward {role}` was started again")
            )
    if once:
        say_end(state, report, time.monotonic() - began, kept=folder if keep else None)


def say_end(state: State, report: Report, seconds: float, *, kept: Path | None) -> None:
    """Print the result, and where the data is if it was kept."""
    report.end(seconds)
    value = report.value()
    if kept:
        # The last scene altered the record: the user must not take this folder for one to go on with.
        data = kept / "data"
        report.aside(f"kept in {kept}, with the record that the last scene altered:")
        report.aside(f"doorward audit verify --data {shlex.quote(str(data))}")
        value |= {"kept": str(kept), "record_altered": True}
    if state.output.as_json:
        state.output.document(value)
    if not report.well:
        sys.exit(REFUSED)


def say_commands(state: State, commands: list[tuple[str, str]]) -> None:
    """Print commands to try while the door is open."""
    value = {"commands": [{"shows": what, "command": command} for what, command in commands]}
    lines = [line for what, command in commands for line in (f"[dim]# {what}[/dim]", f"{escape(command)}\n")]
    state.output.result(
        value, "The door is open. In another terminal:\n", *lines, "[dim]Ctrl-C closes the door.[/dim]"
    )
    sys.stdout.flush()
