"""What stands on the screen: markup, text from outside, tables of every width."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from doorward.cli.screen import Screen, escape, fold, lay_out, measure, render

ID = "crt_4mmmmmmmmabcdefghijk"


def test_markup_is_colour_on_a_terminal_and_nothing_elsewhere() -> None:
    """Words in brackets are styles; unknown ones are text."""
    assert render("[bold]a[/bold] [x] b", colour=False) == "a [x] b"
    assert render("[bold]a[red]b[/red][/bold]c", colour=True) == (
        "\x1b[0m\x1b[1ma\x1b[0m\x1b[1m\x1b[31mb\x1b[0m\x1b[1m\x1b[0mc"
    )
    assert render("[red]a", colour=True).endswith("\x1b[0m")
    assert render("a[/red]", colour=False) == "a"


def test_text_from_outside_is_no_markup_and_commands_nothing() -> None:
    """Brackets stay brackets; escapes are written out, also if `escape` was forgotten; our lines stay lines."""
    hostile = "[red]x[/red]\x1b[2J\u202e\n"
    assert render(f"[dim]{escape(hostile)}[/dim]", colour=False) == "[red]x[/red]\\x1b[2J\\u202e\\x0a"
    assert render("a\x1b[2J\nb\x9b", colour=False) == "a\\x1b[2J\nb\\x9b"
    assert render(f"{escape('[')}[bold]a[/bold]", colour=False) == "[a"


ROWS = [
    [ID, "Alice of the Very Long Display Name", "tellers, auditors, visitors", "2026-11-29 12:00"],
    [ID[:-1] + "2", "Bob", "", "2026-11-29 12:00"],
]
HEADER = ["id", "name", "groups", "not after"]


def plain(width: int | None) -> list[str]:
    """The table as text."""
    return [render(line, colour=False) for line in lay_out(HEADER, ROWS, width)]


def test_a_pipe_gets_one_line_for_each_row() -> None:
    """Without a terminal nothing is wrapped, and a line ends with its text."""
    lines = plain(None)
    assert len(lines) == 3
    assert lines[1].split("  ")[0] == ID
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 120, 200])
def test_no_word_is_divided_at_any_width(width: int) -> None:
    """Ids stand in one piece; apart from them no line is wider than the terminal."""
    lines = plain(width)
    text = "\n".join(lines)
    assert text.count(ID[:-1]) == 2
    for word in ["Alice", "Very", "Display", "tellers,", "auditors,", "visitors", "12:00"]:
        assert word in text
    assert all(measure(line) <= width or ID[:-1] in line for line in lines)


def test_a_narrow_terminal_gets_blocks() -> None:
    """At 40 columns each row is a block with the name of each cell; empty cells are left out."""
    lines = plain(40)
    assert lines[0] == f"id         {ID}"
    assert "name       Alice of the Very Long" in lines
    assert lines.count("") == 1
    assert sum(line.startswith("groups") for line in lines) == 1


def test_a_medium_terminal_folds_between_words() -> None:
    """The widest column gives room first."""
    lines = plain(80)
    assert lines[0].startswith("id ")
    assert lines[1].startswith(ID)
    assert lines[2].startswith(" " * len(ID))


def test_hostile_cells_stay_in_their_line() -> None:
    """A line feed or an escape in a cell is text."""
    lines = lay_out(["a"], [["x\n\x1b[2J[red]"]], None)
    assert [render(line, colour=False) for line in lines] == ["a", "x\\x0a\\x1b[2J[red]"]


def test_columns_are_what_a_terminal_shows() -> None:
    """Wide characters take two columns, combining ones none."""
    assert measure("abc") == 3
    assert measure("佐藤") == 4
    assert measure("e\u0301") == 1
    assert fold("", 5) == [""]
    assert fold("a bb ccc", 4) == ["a bb", "ccc"]


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has none; a terminal has COLUMNS, or 80 if it does not say."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert Screen().width is None
    monkeypatch.setattr(sys, "stdout", Terminal())
    for value, width in (("40", 40), ("3", 20), ("", 80), ("x", 80), ("0", 80)):
        monkeypatch.setenv("COLUMNS", value)
        assert Screen().width == width


def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and a dumb terminal are heard (https://no-color.org)."""
    for name, value, coloured in (("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stderr", stream := Terminal())
        Screen(stderr=True).print("[red]a[/red]")
        assert ("\x1b" in stream.getvalue()) is coloured
        monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_narrow_encoding_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stream cannot say is written as an escape, not an error."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Screen().print("✓ Zoë")
    stream.seek(0)
    assert stream.read() == "\\u2713 Zo\\xeb\n"


def test_only_a_note_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note on standard error that a full disk does not take ends nothing; a result that is lost is an error."""
    for name, screen in (("stderr", Screen(stderr=True)), ("stdout", Screen())):
        full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115  its end fails too
        monkeypatch.setattr(sys, name, full)
        with nullcontext() if name == "stderr" else pytest.raises(OSError, match="No space"):
            screen.print("a line")
        with suppress(OSError):
            full.close()
