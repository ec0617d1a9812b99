"""`doorward status`: is every part well, what is wrong, what to do; once, or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.output import INTERRUPTED, UNAVAILABLE, Output, has_reader, json_text
from doorward.cli.screen import escape
from doorward.cli.state import State
from doorward.core.errors import DoorwardError

if TYPE_CHECKING:
    from doorward.authority.status.stored_crls import StoredCrls
    from doorward.runtime.condition_part import Part

SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[2J"


@click.command("status", cls=Command)
@click.option(
    "--watch",
    "-w",
    is_flag=False,
    flag_value=SECONDS,
    default=None,
    type=click.FloatRange(0.5, 3600),
    metavar="[SECONDS]",
    help="Show it again every 2 (or so many) seconds, until Ctrl-C.",
)
@click.pass_obj
def status(state: State, watch: float | None) -> None:
    """Say whether every part is well, what is wrong, and what to do; exit code 3 if something is wrong.

    With --watch and --json, each line is a JSON document. With --watch into a file or pipe, it is printed again if it changed.
    """
    if watch is not None:
        try:
            _watch(state, watch)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)  # nothing was interrupted
        return
    value, lines = _examine(state, parts.stored_crls.StoredCrls())
    state.output.result(value, *lines)
    if not value["well"]:
        sys.exit(UNAVAILABLE)


def _watch(state: State, seconds: float) -> None:
    """Show the condition until a person or the reader of the output ends it; an error is shown like a condition."""
    output, shown = state.output, None
    crls = parts.stored_crls.StoredCrls()
    while has_reader(sys.stdout):
        now = f"{datetime.now(UTC):%H:%M:%S}Z"
        try:
            value, lines = _examine(state, crls)
        except DoorwardError as error:
            hint = output.with_data(error.hint)
            value = {"well": False, "error": {"code": error.code, "detail": error.detail, "hint": hint}}
            lines = [
                f"[red]error[/red] {escape(error.detail)} [dim]({error.code})[/dim]",
                *([_hint_line(output, error.hint)] if error.hint else []),
            ]
        if output.as_json:
            output.out.write(json_text({"at": now, **value}) + "\n")
        elif output.out.is_terminal or lines != shown:
            if output.out.is_terminal:
                output.out.write(_CLEAR)
            output.out.print(f"[dim]{now}, every {seconds:g} s; Ctrl-C ends[/dim]")
            for line in lines:
                output.out.print(line)
        shown = lines
        sys.stdout.flush()
        time.sleep(seconds)


def _examine(state: State, crls: StoredCrls) -> tuple[dict[str, Any], list[str]]:
    """Return the condition as a value and as lines for people."""
    with state.opened() as installation:
        found = parts.condition.examine(installation, datetime.now(UTC), crls)
    output = state.output
    value = {"well": all(not one.trouble for one in found), "parts": [_value(output, one) for one in found]}
    return value, [*(line for part in found for line in _lines(output, part)), _summary(found)]


def _summary(found: Sequence[Part]) -> str:
    """Return the last line: the parts to look at, because a long list is read from its end."""
    if trouble := list(dict.fromkeys(one.name for one in found if one.trouble)):
        return f"[red]something is wrong: {', '.join(trouble)}[/red]"
    if warned := list(dict.fromkeys(one.name for one in found if one.warnings)):
        return f"[yellow]all parts work; look at: {', '.join(warned)}[/yellow]"
    return "[green]all is well[/green]"


def _lines(output: Output, part: Part) -> Iterator[str]:
    good = "[yellow]![/yellow]" if part.warnings else "[green]✓[/green]"
    mark = "[red]✗[/red]" if part.trouble else good
    yield f"{mark} [bold]{part.name:<12}[/bold] {escape(part.text)}"
    yield from (f"    [red]{escape(text)}[/red]" for text in part.trouble)
    yield from (f"    [yellow]{escape(text)}[/yellow]" for text in part.warnings)
    yield from (_hint_line(output, text) for text in part.hints)


def _hint_line(output: Output, text: str) -> str:
    return f"    [dim]→ {output.with_data(escape(text))}[/dim]"


def _value(output: Output, part: Part) -> dict[str, Any]:
    return {  # facts first: a gateway's own report has a `trouble` too, and it may come from before the trouble of now
        **json.loads(json.dumps(part.facts, default=str)),
        "name": part.name,
        "text": part.text,
        "trouble": list(part.trouble),
        "warnings": list(part.warnings),
        "hints": [output.with_data(text) for text in part.hints],
    }
