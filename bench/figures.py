"""The rows of a run as files: `results.json`, and for a release a Markdown table and an SVG chart in docs/figures/.

The chart has one bar for each goal: how far the value is from it, on a logarithmic scale, so that a value of twice the goal and one of half of it are
equally long. It is text written by hand: no library, no fonts, readable in light and dark surroundings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.rows import Of, Row, render_number

_LABEL, _BAR, _VALUE, _LINE, _TOP = 600, 420, 270, 26, 64
_LONGEST = 16.0
"""A bar ends there: sixteen times the goal, or a sixteenth."""


def render_json(rows: Sequence[Row], about: Mapping[str, str]) -> str:
    """Return the content of `results.json`; `about` says what was measured on what."""
    return (
        json.dumps(
            {"about": dict(about), "rows": [one.as_json() for one in rows]}, indent=1, ensure_ascii=False
        )
        + "\n"
    )


def parse_json(text: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the rows, as `Row.as_json` gives them, and the words about the run."""
    found = json.loads(text)
    return list(found["rows"]), dict(found["about"])


def render_table(rows: Sequence[Row]) -> str:
    """Return the table for people, in Markdown; below it the notes of each row that has some."""
    lines = [
        "| what | ours | peer | ratio (min to max) | goal | held |",
        "|---|---|---|---|---|---|",
        *(_line(one) for one in rows),
    ]
    notes = [f"- **{one.name}**: {' '.join(one.notes)}" for one in rows if one.notes]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def render_section(rows: Sequence[Row], about: Mapping[str, str], version: str, chart: str) -> str:
    """Return what the page says of a release: the run, the chart, the table."""
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    return (
        f"## {version}\n\n{facts}\n\n![How far each value is from its goal]({chart})\n\n{render_table(rows)}"
    )


def render_chart(rows: Sequence[Row], title: str) -> str:
    """Return the SVG: one bar for each row that has a goal and a value."""
    shown = [one for one in rows if one.held is not None]
    width, height = _LABEL + _BAR + _VALUE, _TOP + _LINE * len(shown) + 34
    middle = _LABEL + _BAR / 2
    bars = "".join(_bar(one, _TOP + _LINE * number, middle) for number, one in enumerate(shown))
    scale = "".join(
        f'<text class="scale" x="{middle + _offset(factor):.1f}" y="{height - 10}">{label}</text>'
        for factor, label in (
            (1 / 16, "1/16"),
            (1 / 4, "1/4"),
            (1.0, "the goal"),
            (4.0, "4 x"),
            (16.0, "16 x"),
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">\n'
        "<style>text{font:13px system-ui,sans-serif;fill:#1d2733}.title{font-size:16px;font-weight:600}"
        ".value{fill:#4a5866}.scale{fill:#4a5866;font-size:11px;text-anchor:middle}"
        ".held{fill:#2f7d4f}.missed{fill:#b3541e}.goal{stroke:#4a5866;stroke-width:1.5}"
        "@media (prefers-color-scheme:dark){text{fill:#e6ebf0}.value,.scale{fill:#a9b6c2}.goal{stroke:#a9b6c2}"
        ".held{fill:#58b27d}.missed{fill:#e08a52}}</style>\n"
        f'<text class="title" x="8" y="28">{escape(title)}</text>\n{bars}'
        f'<line class="goal" x1="{middle}" y1="{_TOP - 12}" x2="{middle}" y2="{height - 26}"/>\n{scale}\n</svg>\n'
    )


def keep(rows: Sequence[Row], about: Mapping[str, str], version: str, folder: Path) -> list[Path]:
    """Put a release into the folder's page, above the earlier ones and in the place of an earlier try; return the files that were written."""
    page, chart = folder / "README.md", folder / f"{version}.svg"
    chart.write_text(render_chart(rows, f"Doorward {version}: how far from the goal"), encoding="utf-8")
    intro, *sections = re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    others = [one for one in sections if not one.startswith(f"## {version}\n")]
    parts = (intro, render_section(rows, about, version, chart.name), *others)
    page.write_text("\n\n".join(one.strip() for one in parts) + "\n", encoding="utf-8")
    return [page, chart]


def _line(row: Row) -> str:
    if row.missing:
        return f"| {row.name} | not measured: {row.missing} | - | - | {row.goal.render() if row.goal else '-'} | - |"
    spread = (
        f" ({render_number(row.low)} to {render_number(row.high)})"
        if row.low is not None and row.low != row.high
        else ""
    )
    ratio = f"{render_number(row.ratio)} x{spread}" if row.ratio is not None else "-"
    ours = f"{render_number(row.ours)} {row.unit}".strip() + (spread if row.ratio is None else "")
    peer = f"{render_number(row.peer)} {row.unit} ({row.peer_name})" if row.peer is not None else "-"
    held = {True: "yes", False: "**no**", None: "-"}[row.held]
    return f"| {row.name} | {ours} | {peer} | {ratio} | {row.goal.render() if row.goal else '-'} | {held} |"


def distance(row: Row) -> float:
    """Return by which factor a value is better than its goal; below 1 the goal is missed.

    The row must have a goal and a value.
    """
    assert row.goal is not None
    value = row.ratio if row.goal.of is Of.RATIO else row.ours
    assert value is not None
    if value <= 0 or row.goal.number <= 0:
        return _LONGEST if row.goal.holds(value) else 1 / _LONGEST
    return row.goal.number / value if row.goal.at_most else value / row.goal.number


def _offset(factor: float) -> float:
    """Return the pixels from the middle for a factor."""
    inside = min(max(factor, 1 / _LONGEST), _LONGEST)
    return math.log(inside) / math.log(_LONGEST) * _BAR / 2


def _bar(row: Row, top: float, middle: float) -> str:
    offset = _offset(distance(row))
    left, width = (middle, offset) if offset >= 0 else (middle + offset, -offset)
    assert row.goal is not None
    value = (
        f"{render_number(row.ratio)} x"
        if row.goal.of is Of.RATIO
        else f"{render_number(row.ours)} {row.unit}"
    )
    return (
        f'<text x="{_LABEL - 10}" y="{top + 14}" text-anchor="end">{escape(row.name)}</text>'
        f'<rect class="{"held" if row.held else "missed"}" x="{left:.1f}" y="{top}" width="{max(width, 2):.1f}" height="18" rx="2"/>'
        f'<text class="value" x="{_LABEL + _BAR + 10}" y="{top + 14}">{escape(value)} ({escape(row.goal.render())})</text>\n'
    )
