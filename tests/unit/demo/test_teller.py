"""How the story is told."""

from __future__ import annotations

import io

from rich.console import Console

from doorward.demo.teller import Teller


def _teller() -> tuple[Teller, io.StringIO]:
    text = io.StringIO()
    return Teller(Console(file=text, width=100)), text


def test_what_happened_as_told_is_well() -> None:
    """A story in which everything agrees is well, and says how many findings it has."""
    tell, text = _teller()
    tell.title("A title", "below it")
    tell.begin(1, "A scene", "because")
    tell.compare("colour", "red", "red", note="a note")
    tell.aside("not judged")
    tell.end(1.0)
    assert tell.well
    assert "1 of 1 as told" in text.getvalue()
    assert "a note" in text.getvalue()


def test_a_difference_is_told_with_what_had_to_be() -> None:
    """One difference makes the whole story wrong, and what had to be stands beside it."""
    tell, text = _teller()
    tell.begin(1, "A scene", "because")
    tell.compare("colour", "red", "blue")
    tell.compare("shape", "round", "round")
    tell.end(1.0)
    assert not tell.well
    assert "had to be: red" in text.getvalue()
    assert "1 of 2 NOT as told" in text.getvalue()
    assert tell.value()["as_told"] is False
    assert tell.value()["findings"][0] == {
        "scene": "A scene", "what": "colour", "expected": "red", "seen": "blue", "good": False,
    }  # fmt: skip


def test_without_a_console_nothing_is_printed() -> None:
    """For --json the teller only remembers."""
    tell = Teller(None)
    with tell.preparing("something"):
        tell.begin(1, "A scene", "because")
    tell.compare("colour", "red", "red")
    tell.end(1.0)
    assert tell.well


def test_markup_in_what_was_seen_is_shown_as_it_is() -> None:
    """Text from outside cannot colour or hide the story."""
    tell, text = _teller()
    tell.compare("[red]name[/red]", "x", "[bold]y")
    assert "[red]name[/red]" in text.getvalue()
    assert "[bold]y" in text.getvalue()
