"""Lines for people: colours, widths and tables. A small part of what `rich` does; loads in 1 ms.

The markup has few words: `[bold]`, `[dim]`, `[red]`, `[green]`, `[yellow]`, each closed by `[/word]`. Text from outside
goes through `escape`, so that it cannot be markup. Every line also goes through
`core.untrusted_text.escape_unprintable` here: if a caller forgets `escape`, the text still cannot control the terminal.

Colours are used on a terminal only, and not if NO_COLOR is set (https://no-color.org) or TERM is `dumb`.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TextIO

from doorward.core.untrusted_text import escape_unprintable

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_TAG = re.compile(r"\[(/?)(" + "|".join(_STYLES) + r")\]")
_QUOTED = "\0["  # no text that went through `escape_unprintable` has a NUL
_GAP = "  "
_NARROW = 20
"""Columns: a narrower terminal is treated as this wide."""
_DEFAULT_WIDTH = 80


def escape(text: object) -> str:
    """Return a text from outside for use within a line: printable, one line, no markup."""
    return escape_unprintable(str(text)).replace("[", _QUOTED)


def render(line: str, *, colour: bool) -> str:
    """Return a line of markup for a terminal, or with `colour=False` for a file."""
    parts, active = [], list[str]()
    position = 0
    for tag in _TAG.finditer(line):
        if line[max(0, tag.start() - 1)] == "\0":
            continue
        parts.append(_plain(line[position : tag.start()]))
        position = tag.end()
        closing, style = tag.groups()
        if not closing:
            active.append(style)
        elif style in active:
            active.remove(style)
        if colour:
            parts.append("\x1b[0m" + "".join(f"\x1b[{_STYLES[one]}m" for one in active))
    parts.append(_plain(line[position:]))
    if colour and active:
        parts.append("\x1b[0m")
    return "".join(parts)


def _plain(text: str) -> str:
    return escape_unprintable(text.replace(_QUOTED, "["), keep_lines=True)


class Screen:
    """Standard output or standard error; looked up for each line, because tests replace them."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @property
    def file(self) -> TextIO:
        """The stream."""
        return sys.stderr if self._stderr else sys.stdout

    @property
    def is_terminal(self) -> bool:
        """Whether the stream is a terminal."""
        return self.file.isatty()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None if there is none, so that nothing is wrapped."""
        if not self.is_terminal:
            return None
        try:
            columns = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size(self.file.fileno()).columns
        except (OSError, ValueError):
            try:
                columns = os.get_terminal_size(self.file.fileno()).columns
            except (OSError, ValueError):
                columns = 0
        return max(_NARROW, columns or _DEFAULT_WIDTH)

    def print(self, line: str = "") -> None:
        """Write a line of markup."""
        colour = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.write(render(line, colour=colour) + "\n")

    def write(self, text: str) -> None:
        """Write a safe text; characters that the stream's encoding lacks become escapes.

        A note on standard error that cannot be written, as on a full disk, is lost: it must not end the work it is about.
        """
        encoding = getattr(self.file, "encoding", None) or "utf-8"
        with suppress(OSError) if self._stderr else nullcontext():
            self.file.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.file.flush()


def lay_out(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines (markup) of a table.

    Args:
        header: the names of the columns.
        rows: cells, as text.
        width: columns of the terminal; None for no limit, as in a pipe.

    Returns:
        A line for each row. If that is too wide, cells of several words are folded between words. If a
        row still does not fit, each row becomes a block, a line for each cell. A word, such as an id, is
        never divided, at any width: it is there to be copied.
    """
    cells = [[escape_unprintable(cell) for cell in row] for row in rows]
    widths = [max(map(measure, column)) for column in zip(header, *cells, strict=True)]
    if width is not None:
        longest = [
            max(max(map(measure, cell.split()), default=0) for cell in column)
            for column in zip(header, *cells, strict=True)
        ]
        room = width - len(_GAP) * (len(header) - 1)
        if sum(longest) > room:
            return _blocks(header, cells, width)
        widths = _fit(widths, longest, room)
    lines = _row([f"[bold]{escape(name)}[/bold]" for name in header], header, widths)
    for row in cells:
        folded = [fold(cell, room) for cell, room in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            parts = [cell[number] if number < len(cell) else "" for cell in folded]
            lines += _row([escape(part) for part in parts], parts, widths)
    return lines


def _row(marked: Sequence[str], plain: Sequence[str], widths: Sequence[int]) -> list[str]:
    padded = [
        text + " " * (width - measure(bare)) for text, bare, width in zip(marked, plain, widths, strict=True)
    ]
    last = next(
        (at for at in range(len(plain) - 1, -1, -1) if plain[at]), 0
    )  # no blanks at the end of a line
    return [_GAP.join([*padded[:last], marked[last]])]


def _fit(widths: Sequence[int], longest: Sequence[int], room: int) -> list[int]:
    """Narrow the widest columns until all fit; no column becomes narrower than its longest word."""
    found = list(widths)
    while sum(found) > room:
        widest = max(range(len(found)), key=lambda at: (found[at] > longest[at], found[at]))
        found[widest] -= 1
    return found


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    label = max(map(measure, header))
    lines = list[str]()
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            if not cell:
                continue
            for number, part in enumerate(fold(cell, max(1, width - label - len(_GAP)))):
                shown = f"[dim]{escape(name)}[/dim]" if number == 0 else ""
                begin = measure(name) if number == 0 else 0
                lines.append(shown + " " * (label + len(_GAP) - begin) + escape(part))
        lines.append("")
    return lines[:-1]


def fold(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` columns, broken at blanks only; a longer word keeps its line."""
    if measure(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        together = f"{lines[-1]} {word}" if lines[-1] else word
        if measure(together) <= width or not lines[-1]:
            lines[-1] = together
        else:
            lines.append(word)
    return lines


def measure(text: str) -> int:
    """Return how many columns a printable text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
