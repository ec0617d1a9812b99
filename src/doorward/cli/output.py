"""How the command line speaks: one place for results, errors, exit codes, colour and progress.

Rules (people's scripts rely on them):
- results go to standard output, everything else to standard error;
- `--json` prints exactly one JSON document on standard output, also for errors;
- an error says what is wrong, then what to do; never a stack trace;
- exit codes: 0 done, 1 understood and refused, 2 not understood (usage, settings, document),
  3 unavailable, 4 integrity, 70 internal.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from doorward.core.errors import (
    AccessDenied,
    ConfigurationError,
    DoorwardError,
    IntegrityError,
    MalformedInput,
    RequestRefused,
    Unavailable,
)

DONE, REFUSED, USAGE, UNAVAILABLE, INTEGRITY, INTERNAL = 0, 1, 2, 3, 4, 70

_EXIT_CODES: tuple[tuple[type[DoorwardError], int], ...] = (
    (MalformedInput, USAGE),
    (ConfigurationError, USAGE),
    (RequestRefused, REFUSED),
    (AccessDenied, REFUSED),
    (Unavailable, UNAVAILABLE),
    (IntegrityError, INTEGRITY),
)


def exit_code(error: DoorwardError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), INTERNAL)


class Output:
    """Where a command puts its result; `as_json` decides the form."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def document(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print one JSON document."""
        click.echo(
            json.dumps(value, default=_plain, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
        )

    def result(self, value: Mapping[str, Any], *lines: str, notes: Sequence[str] | None = None) -> None:
        """Print a result: the value as JSON, or the lines (rich markup) for people.

        Args:
            value: the members of the document.
            lines: what people read.
            notes: sentences beside it, of a command that may have some: people read them on standard
                error, and the document has them as its member `notes`, empty where there is none.
        """
        if self.as_json:
            self.document(value if notes is None else {**value, "notes": list(notes)})
            return
        for text in notes or ():
            self.note(text)
        for line in lines:
            self.out.print(line)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
        """Print rows: as a JSON list, or as a table of these columns; `empty` is said when there are none."""
        if self.as_json:
            self.document(list(rows))
            return
        if not rows:
            self.out.print(f"[dim]{empty}[/dim]")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(escape(_cell(row.get(column, ""))) for column in columns))
        self.out.print(table)

    def note(self, text: str, *, also_json: bool = False) -> None:
        """Say something on standard error: to people, and with `also_json` beside a document that cannot hold it."""
        if also_json or not self.as_json:
            self.err.print(f"[dim]{escape(text)}[/dim]")

    @contextmanager
    def progress(self, what: str) -> Iterator[Any]:
        """Show progress of long work: yields a function (done, total); silent without a terminal or with --json."""
        if self.as_json or not self.err.is_terminal:
            yield lambda _done, _total: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  slow import

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.err,
        ) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def error(self, error: DoorwardError) -> int:
        """Render an error and return its exit code."""
        code = exit_code(error)
        for text in getattr(error, "__notes__", ()):
            self.note(text)
        if self.as_json:
            self.document({"error": _error_value(error)})
            return code
        if isinstance(error, ConfigurationError):
            for fault in error.faults:
                self.err.print(f"[red]error[/red] {escape(str(fault))}")
                if fault.hint:
                    self.err.print(f"  [dim]→[/dim] {escape(fault.hint)}")
            return code
        self.err.print(f"[red]error[/red] {escape(error.detail)} [dim]({error.code})[/dim]")
        if error.hint:
            self.err.print(f"  [dim]→[/dim] {escape(error.hint)}")
        return code

    def internal(self, error: Exception) -> int:
        """Render an exception that nobody expected; details only on request, as they may hold secrets."""
        incident = os.urandom(4).hex()
        if os.environ.get("DOORWARD_DEBUG"):
            traceback.print_exception(error)
        detail = f"an internal error happened ({type(error).__name__}), incident {incident}"
        hint = "run it again with DOORWARD_DEBUG=1 to see the details, and report them"
        if self.as_json:
            self.document({"error": {"code": "internal-error", "detail": detail, "hint": hint}})
        else:
            self.err.print(f"[red]error[/red] {escape(detail)}\n  [dim]→[/dim] {hint}")
        return INTERNAL


def _error_value(error: DoorwardError) -> dict[str, Any]:
    value: dict[str, Any] = {"code": error.code, "detail": error.detail, "hint": error.hint, **error.context}
    if isinstance(error, ConfigurationError):
        fields = ("code", "message", "hint", "file", "line", "column", "key")
        value["faults"] = [{field: getattr(fault, field) for field in fields} for fault in error.faults]
    notes = getattr(error, "__notes__", None)
    if notes:  # what was done all the same, in the place where a result has it
        value["notes"] = list(notes)
    if isinstance(error, AccessDenied):
        value["reasons"] = list(error.reasons)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
