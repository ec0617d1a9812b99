"""The output of the command line: one place for results, errors, exit codes, colour and progress.

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
import re
import select
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

from doorward.cli.screen import Screen, escape, lay_out
from doorward.core.errors import (
    AccessDenied,
    ConfigurationError,
    DoorwardError,
    Fault,
    IntegrityError,
    MalformedInput,
    RequestRefused,
    Unavailable,
)
from doorward.core.untrusted_text import escape_in_json, escape_unprintable

DONE, REFUSED, USAGE, UNAVAILABLE, INTEGRITY, INTERNAL = 0, 1, 2, 3, 4, 70
INTERRUPTED = 130  # the convention of shells: 128 plus the number of SIGINT

_EXIT_CODES: tuple[tuple[type[DoorwardError], int], ...] = (
    (MalformedInput, USAGE),
    (ConfigurationError, USAGE),
    (RequestRefused, REFUSED),
    (AccessDenied, REFUSED),
    (Unavailable, UNAVAILABLE),
    (IntegrityError, INTEGRITY),
)

MOST_FAULTS = 50
"""Faults that are printed for people; `--json` has all."""

_PROGRESS_SECONDS = 0.1
_RATE_SECONDS = 1.0
"""From then on, progress shows a rate and the time that is left."""
_MARKED_COMMAND = re.compile(r"`(doorward [a-z][^`]*)`")
_LAST_COMMAND = re.compile(r"(?:^|: |\[/dim\] )doorward [a-z][^`;:,()]*$")


def exit_code(error: DoorwardError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), INTERNAL)


def has_reader(stream: TextIO) -> bool:
    """Return whether a program still reads the stream: `head` may end long before the next write fails."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return True  # a test replaced the stream
    watched = select.poll()
    watched.register(descriptor, 0)
    return not any(seen & (select.POLLERR | select.POLLHUP) for _, seen in watched.poll(0))


class Output:
    """The output of one command.

    Args:
        as_json: print one JSON document instead of lines for people.
        data: the data directory as `--data` named it: commands in hints repeat it.
    """

    def __init__(self, *, as_json: bool, data: str = "") -> None:
        self.as_json = as_json
        self.data = data
        self.out = Screen()
        self.err = Screen(stderr=True)

    def document(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print one JSON document."""
        self.out.write(json_text(value, indent=2 if self.out.is_terminal else None) + "\n")

    def result(self, value: Mapping[str, Any], *lines: str, notes: Sequence[str] | None = None) -> None:
        """Print a result: the value as JSON, or the lines (markup of `screen`) for people.

        Args:
            value: the members of the document.
            lines: what people read.
            notes: further sentences, of a command that can have some: on standard error for people, and as the member
                `notes` of the document, which is empty if there is none.
        """
        if self.as_json:
            self.document(value if notes is None else {**value, "notes": list(notes)})
            return
        for text in notes or ():
            self.note(text)
        for line in lines:
            self.out.print(self.with_data(line) if line.startswith("[dim]next:") else line)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
        """Print rows: as a JSON list, or as a table of these columns; `empty` is printed if there are none."""
        if self.as_json:
            self.document(list(rows))
            return
        if not rows:
            self.out.print(f"[dim]{empty}[/dim]")
            return
        header = [column.replace("_", " ") for column in columns]
        cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
        for line in lay_out(header, cells, self.out.width):
            self.out.print(line)

    def csv(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows as CSV that a spreadsheet can open: formulas neutralised, nothing that a terminal obeys."""
        from doorward.wire.csv_rows import render_csv  # noqa: PLC0415  few commands need it

        cells = ([escape_unprintable(_csv_cell(row.get(column))) for column in columns] for row in rows)
        self.out.write(render_csv(columns, cells))

    def note(self, text: str, *, also_json: bool = False) -> None:
        """Print a note on standard error; under `--json` only with `also_json`, for a document that cannot hold it."""
        if also_json or not self.as_json:
            self.err.print(f"[dim]{escape(text)}[/dim]")

    def with_data(self, text: str) -> str:
        """Return a hint with the `--data` of this command added to each command in it."""
        if not self.data:
            return text
        quoted = shlex.quote(self.data)
        option = f" --data {quoted if self.as_json else escape(quoted)}"
        marked = _MARKED_COMMAND.sub(lambda found: f"`{found[1]}{option}`", text)
        return _LAST_COMMAND.sub(lambda found: found[0] + option, marked) if marked == text else marked

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show progress of long work: yields a function (done, total); silent without a terminal or with --json."""
        if self.as_json or not self.err.is_terminal:
            yield lambda _done, _total: None
            return
        last = float("-inf")
        began = time.monotonic()

        def show_progress(done: int, total: int) -> None:
            nonlocal last
            if done < total and time.monotonic() - last < _PROGRESS_SECONDS:
                return
            last = time.monotonic()
            rate = _rate(done, total, last - began)
            self.err.write(f"\r\x1b[K{escape_unprintable(what)} {done}/{total}{rate}")

        try:
            yield show_progress
        finally:
            self.err.write("\r\x1b[K")

    def error(self, error: DoorwardError) -> int:
        """Render an error and return its exit code."""
        code = exit_code(error)
        for text in getattr(error, "__notes__", ()):
            self.note(text)
        if self.as_json:
            self.document({"error": {**_error_value(error), "hint": self.with_data(error.hint)}})
            return code
        if isinstance(error, ConfigurationError):
            self.faults(error.faults, "[red]error[/red]")
            return code
        self.err.print(f"[red]error[/red] {escape(error.detail)} [dim]({error.code})[/dim]")
        if error.hint:
            self.err.print(f"  [dim]→[/dim] {self.with_data(escape(error.hint))}")
        return code

    def faults(self, faults: Sequence[Fault], word: str) -> None:
        """Print faults for people, each hint once in a row, and only the first of very many."""
        said = ""
        for fault in faults[:MOST_FAULTS]:
            self.err.print(f"{word} {escape(str(fault))}")
            if fault.hint and fault.hint != said:
                self.err.print(f"  [dim]→[/dim] {escape(fault.hint)}")
            said = fault.hint
        if len(faults) > MOST_FAULTS:
            self.err.print(f"{word} and {len(faults) - MOST_FAULTS} more faults")
            self.err.print("  [dim]→[/dim] add --json to see all")

    def internal(self, error: Exception) -> int:
        """Render an unexpected exception; details only on request, because they may hold secrets."""
        incident = os.urandom(4).hex()
        if os.environ.get("DOORWARD_DEBUG"):
            import traceback  # noqa: PLC0415  only here

            self.err.write(escape_unprintable("".join(traceback.format_exception(error)), keep_lines=True))
        detail = f"an internal error happened ({type(error).__name__}), incident {incident}"
        hint = "run it again with DOORWARD_DEBUG=1 to see the details, and report them"
        if self.as_json:
            self.document({"error": {"code": "internal-error", "detail": detail, "hint": hint}})
        else:
            self.err.print(f"[red]error[/red] {escape(detail)}\n  [dim]→[/dim] {hint}")
        return INTERNAL


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON that a terminal can show: no control, bidirectional or invisible character in it."""
    return escape_in_json(json.dumps(value, default=_plain, ensure_ascii=False, indent=indent))


def _rate(done: int, total: int, seconds: float) -> str:
    if not done or seconds < _RATE_SECONDS:
        return ""
    return f", {done / seconds:.0f}/s, {(total - done) * seconds / done:.0f} s left"


def _error_value(error: DoorwardError) -> dict[str, Any]:
    value: dict[str, Any] = {"code": error.code, "detail": error.detail, "hint": error.hint, **error.context}
    if isinstance(error, ConfigurationError):
        fields = ("code", "message", "hint", "file", "line", "column", "key")
        value["faults"] = [{field: getattr(fault, field) for field in fields} for fault in error.faults]
    notes = getattr(error, "__notes__", None)
    if notes:  # steps that were done before the error, in the form that a result has
        value["notes"] = list(notes)
    if isinstance(error, AccessDenied):
        value["reasons"] = list(error.reasons)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ";".join(str(part) for part in value)
    return str(_plain(value))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
