"""How the story is told."""

from __future__ import annotations

import io

from rich.console import Console

from doorward.demo.report import Report


def _teller() -> tuple[Report, io.StringIO]:
    text = io.StringIO()
    return Report(Console(file=text, width=100)), text


def test_what_happened_as_told_is_well() -> None:
    """A story in which everything agrees is well, and says how many findings it has."""
    report, text = _teller()
    report.title("A title", "below it")
    report.begin(1, "A scene", "because")
    report.compare("colour", "red", "red", note="a note")
    report.aside("not judged")
    report.end(1.0)
    assert report.well
    assert "1 of 1 as expected" in text.getvalue()
    assert "a note" in text.getvalue()


def test_a_difference_is_told_with_what_had_to_be() -> None:
    """One difference makes the whole story wrong, and what had to be stands beside it."""
    report, text = _teller()
    report.begin(1, "A scene", "because")
    report.compare("colour", "red", "blue")
    report.compare("shape", "round", "round")
    report.end(1.0)
    assert not report.well
    assert "had to be: red" in text.getvalue()
    assert "1 of 2 NOT as expected" in text.getvalue()
    assert report.value()["as_told"] is False
    assert report.value()["findings"][0] == {
        "scene": "A scene", "what": "colour", "expected": "red", "seen": "blue", "good": False,
    }  # fmt: skip


def test_without_a_console_nothing_is_printed() -> None:
    """For --json the teller only remembers."""
    report = Report(None)
    with report.preparing("something"):
        report.begin(1, "A scene", "because")
    report.compare("colour", "red", "red")
    report.end(1.0)
    assert report.well


def test_markup_in_what_was_seen_is_shown_as_it_is() -> None:
    """Text from outside cannot colour or hide the story."""
    report, text = _teller()
    report.compare("[red]name[/red]", "x", "[bold]y")
    assert "[red]name[/red]" in text.getvalue()
    assert "[bold]y" in text.getvalue()
