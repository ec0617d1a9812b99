"""`doorward audit`: read, verify and export the tamper-evident log."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from doorward.audit.report import LogFaultCode, VerificationReport
from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.completing import complete_app, complete_event, complete_principal
from doorward.cli.confirming import FORCE
from doorward.cli.output import INTEGRITY, INTERRUPTED, has_reader
from doorward.cli.screen import escape
from doorward.cli.state import State
from doorward.core.errors import MalformedInput
from doorward.core.untrusted_text import escape_in_json
from doorward.runtime.pem import read_bounded

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("tail", cls=Command)
@click.option(
    "--lines",
    "-n",
    default=20,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Begin with this many past events.",
)
@click.option("--follow", "-f", is_flag=True, help="Print new events when they occur, until Ctrl-C.")
@click.option(
    "--person",
    default="",
    metavar="NAME",
    shell_complete=complete_principal(),
    help="Print only events of this person, device or service.",
)
@click.option(
    "--application",
    default="",
    metavar="NAME",
    shell_complete=complete_app,
    help="Print only events at this application.",
)
@click.option(
    "--certificate",
    default="",
    metavar="ID",
    help="Print only events of this certificate: id, serial number or SHA-256.",
)
@click.option(
    "--event",
    default="",
    metavar="TYPE",
    shell_complete=complete_event,
    help="Print only events of this type, or of all types that begin with this noun, such as connection.",
)
@click.option(
    "--result", type=click.Choice(["ok", "refused", "failed"]), help="Print only events with this result."
)
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Print only events since this time: 10m, 2h or 3d ago, or a date and time (UTC).",
)
@click.option(
    "--until", default="", metavar="TIME", help="Print only events until this time; same forms as --since."
)
@click.pass_obj
def tail(state: State, /, lines: int, *, follow: bool, **described: str | None) -> None:
    """Print the newest events, one line per event, oldest first: time, principal, event, result, reason, id.

    With --json, each line is a JSON document with all fields. `doorward explain ID` shows more about one event.
    """
    reader = parts.reading.Reader(state.installation())
    wanted = reader.wanted(**{name: text for name, text in described.items() if text})

    def say(event: dict[str, Any]) -> None:
        if state.output.as_json:
            text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            state.output.out.write(escape_in_json(text) + "\n")
        else:
            state.output.out.print(escape(parts.event_lines.describe_event(event, reader).line()))

    try:
        position = reader.size()
        found = reader.newest(wanted, lines, end=position)
        for event in found:
            say(event)
        if lines and not found and not follow:
            state.output.note("no event matches")
        while follow and has_reader(sys.stdout):
            for event in reader.coming(position):
                position = event["number"] + 1
                if wanted.matches(event):
                    say(event)
            sys.stdout.flush()
            time.sleep(0.2)
    except KeyboardInterrupt:
        if not follow:
            raise
        sys.exit(INTERRUPTED)  # nothing was interrupted


@click.command("verify", cls=Command)
@click.argument("export_file", type=FILE, required=False)
@click.option(
    "--checkpoint",
    type=FILE,
    help="A checkpoint that you kept: the log must begin with the same events.",
)
@click.option(
    "--key", "key_file", type=FILE, help="The verifier key of the log (one line); needed for an export."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    help="How many processes check the log; without it, one for each core. A log below 50,000 events and an export are checked in one.",
)
@click.pass_obj
def verify(
    state: State, export_file: Path | None, checkpoint: Path | None, key_file: Path | None, jobs: int | None
) -> None:
    """Verify the log of this installation, or an export file.

    If something was altered, the exit code is 4 and the message names it.

    Without --key, the command shows only that an export is consistent with itself: its author may have invented every event.
    """
    note = _text(checkpoint)
    key = (_text(key_file) or "").strip() if key_file else None
    key_given = key is not None or export_file is None  # this installation knows its own
    with state.output.progress("verifying") as progress:
        if export_file:
            report = parts.evidence.verify_file(export_file, checkpoint=note, key=key)
        else:
            evidence = parts.evidence.Evidence(state.installation())
            report = evidence.verify(checkpoint=note, key=key, progress=progress, jobs=jobs)
    if not export_file and (unchecked := evidence.unchecked()):
        state.output.note(unchecked)
    if key_given:
        parts.evidence.refuse_empty(report)
    value = parts.evidence.report_value(report)
    if not report.faults:
        state.output.result(value, *_good(report))
        return
    lines = [f"[red]✗[/red] {escape(str(fault))}" for fault in report.faults]
    if export_file:
        hint = _ALTERED_EXPORT
    elif {fault.code for fault in report.faults} == {LogFaultCode.INDEX_ALTERED}:
        hint = state.output.with_data(_ALTERED_INDEX)
    else:
        hint = "do not change the database; compare it with the last export or backup"
    lines.append(f"[dim]→ {hint}[/dim]")
    state.output.result(value, *lines)
    sys.exit(INTEGRITY)


_ALTERED_EXPORT = "keep this file; check that `doorward audit export` wrote it, and compare it with a new export of the same log"

_ALTERED_INDEX = "the events are as recorded, but a search may miss some: `doorward audit reindex` makes the index again; find out what changed it"


def _good(report: VerificationReport) -> list[str]:
    root = f"[dim]root {report.root.hex()}[/dim]"
    if report.verified:
        lines = [f"[green]✓[/green] {report.size} events verified", root]
        open_events = report.size - report.anchored_size
        if open_events:
            lines.append(
                f"[yellow]the newest {open_events} of them are not under a signed checkpoint: "
                f"it covers the first {report.anchored_size}[/yellow]"
            )
    else:
        lines = [f"[yellow]?[/yellow] {report.size} events, consistent with itself", root]
        lines.append(
            "[yellow]no signature was checked: give --key, and with --checkpoint a checkpoint that you kept[/yellow]"
        )
    if report.redacted:
        lines.append(f"[dim]{report.redacted} personal values are redacted; their commitments stand[/dim]")
    return lines


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return read_bounded(path).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedInput("file-not-text", f"{path} is not text", hint="is it the right file?") from None


@click.command("export", cls=Command)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here, readable by its owner only; without it, to standard output.",
)
@FORCE
@click.option(
    "--checkpoint-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the newest checkpoint into this new file. Keep it elsewhere: `audit verify --checkpoint` then finds if the log was rewritten.",
)
@click.option("--personal", is_flag=True, help="Include the personal data that is still kept.")
@click.option(
    "--tiles",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead, bring static files of hashes and events in this folder up to date, for a web server (C2SP tlog-tiles).",
)
@click.option(
    "--check-all", is_flag=True, help="With --tiles: also compare every file that is there with the log."
)
@click.pass_obj
def export(
    state: State,
    /,
    out: Path | None,
    *,
    force: bool,
    checkpoint_out: Path | None,
    personal: bool,
    tiles: Path | None,
    check_all: bool,
) -> None:
    """Export the log, to be verified anywhere with its checkpoint and the verifier key.

    With --tiles, only what is new since the last export is written. The files have no personal data.
    """
    if tiles is not None:
        if out or force or checkpoint_out or personal:
            raise click.UsageError("--tiles is alone, or with --check-all")
        _export_tiles(state, tiles, check_all=check_all)
        return
    if check_all:
        raise click.UsageError("--check-all needs --tiles")
    evidence = parts.evidence.Evidence(state.installation())
    if out is None:
        evidence.export(sys.stdout.buffer, checkpoint_out=checkpoint_out, personal=personal)
        return
    parts.private_files.refuse_existing(out, option="--out", force=force)
    with state.output.progress("exporting") as progress, parts.files.replacing(out) as file:
        done = evidence.export(file, checkpoint_out=checkpoint_out, personal=personal, progress=progress)
    state.output.result(
        {"written": str(out), "events": done.events, "checkpoint": done.checkpoint},
        f"wrote {done.events} events to {escape(str(out))}",
    )


def _export_tiles(state: State, folder: Path, *, check_all: bool) -> None:
    installation = state.installation()
    with state.output.progress("exporting") as progress:
        done = parts.tile_export.export_tiles(
            installation.event_log,
            installation.log_verifier_key(),
            folder,
            check=check_all,
            progress=progress,
        )
    state.output.result(
        {"folder": str(folder), **done._asdict()},
        f"{escape(str(folder))} has {done.events} events; {done.written} files are new",
    )


@click.command("reindex", cls=Command)
@click.option(
    "--from",
    "start",
    default=0,
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="Begin with the event of this number; an interrupted command says which one.",
)
@click.pass_obj
def reindex(state: State, start: int) -> None:
    """Make the search index of the log again from its events, and remove what does not belong to it.

    `serve` writes the index by itself. Use this command if `audit verify` reports `index-altered`. Searching works
    meanwhile, and after an interruption.
    """
    done = start
    try:
        with state.output.progress("indexing") as progress:

            def show(number: int, total: int) -> None:
                nonlocal done
                done = number
                progress(number, total)

            rebuilt = parts.indexing.rebuild(state.installation().event_log, start, show)
    except KeyboardInterrupt:
        if done > start:
            state.output.note(
                state.output.with_data(
                    f"indexed up to event {done}; `doorward audit reindex --from {done}` continues"
                )
            )
        raise
    state.output.result(
        rebuilt._asdict(),
        f"{rebuilt.indexed} of {rebuilt.events} events are indexed",
        f"[dim]a search reads the newest {rebuilt.events - rebuilt.indexed} one by one, until there are 16384 of them[/dim]",
        f"[dim]corrected: {rebuilt.written} parts of 16384 events; removed: {rebuilt.removed} rows[/dim]",
    )


@click.command("key", cls=Command)
@click.pass_obj
def key(state: State) -> None:
    """Print the verifier key of the log: give it to auditors."""
    text = parts.evidence.Evidence(state.installation()).verifier_key()
    state.output.result({"key": text}, text)
