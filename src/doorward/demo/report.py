"""The report of a demo: scenes, each with expected results, actual results, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

_WIDTH = 42
"""Width of the first column in characters; a line with a result then fits into 80."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One comparison: the subject, the expected result, the actual result."""

    scene: str
    what: str
    expected: str
    seen: str
    good: bool


def open_report(*, silent: bool) -> Report:
    """Return a teller that prints to standard output, or only keeps its findings."""
    return Report(None if silent else Console(highlight=False, soft_wrap=True))


@dataclass(slots=True)
class Report:
    """Prints scenes and keeps every finding; prints nothing for `--json`."""

    console: Console | None
    findings: list[Finding] = field(default_factory=list)
    scene: str = ""

    @property
    def well(self) -> bool:
        """Whether every finding so far is as expected."""
        return all(one.good for one in self.findings)

    def title(self, text: str, under: str) -> None:
        """Print the title."""
        self._print(Rule(f"[bold]{escape(text)}[/bold]", style="blue"))
        self._print(f"[dim]{escape(under)}[/dim]")

    @contextmanager
    def preparing(self, text: str) -> Iterator[None]:
        """Show that something takes a moment."""
        if self.console is None or not self.console.is_terminal:
            yield
            return
        with self.console.status(f"[dim]{escape(text)} …[/dim]", spinner="dots"):
            yield

    def begin(self, number: int, text: str, why: str) -> None:
        """Begin a scene: its title, and one sentence that gives the reason for its result."""
        self.scene = text
        self._print(f"\n[bold blue]{number:>2}[/bold blue]  [bold]{escape(text)}[/bold]")
        self._print(f"    [dim]{escape(why)}[/dim]")

    def compare(self, what: str, expected: str, seen: str, *, note: str = "") -> None:
        """Compare the actual result with the expected one."""
        self.judge(what, expected, seen, good=expected == seen, note=note)

    def judge(self, what: str, expected: str, seen: str, *, good: bool, note: str = "") -> None:
        """Add a finding that the caller has judged."""
        self.findings.append(Finding(scene=self.scene, what=what, expected=expected, seen=seen, good=good))
        mark = "[green]✓[/green]" if good else "[red]✗[/red]"
        line = f"    {mark} {escape(what):<{_WIDTH}} {escape(seen)}"
        if note:
            line += f"\n      [dim]{escape(note)}[/dim]"
        if not good:
            line += f"\n      [red]had to be: {escape(expected)}[/red]"
        self._print(line)

    def aside(self, text: str) -> None:
        """Print something that is not judged."""
        self._print(f"      [dim]{escape(text)}[/dim]")

    def end(self, seconds: float) -> None:
        """Print the result."""
        good = sum(one.good for one in self.findings)
        style, word = ("green", "as expected") if self.well else ("red", "NOT as expected")
        self._print(
            f"\n[bold {style}]{good} of {len(self.findings)} {word}[/bold {style}] [dim]in {seconds:.1f} s[/dim]"
        )

    def value(self) -> dict[str, Any]:
        """Return the whole report for `--json`."""
        fields = ("scene", "what", "expected", "seen", "good")
        return {
            "as_told": self.well,
            "findings": [{f: getattr(one, f) for f in fields} for one in self.findings],
        }

    def _print(self, text: Any) -> None:
        if self.console is not None:
            self.console.print(text)
