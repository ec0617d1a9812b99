"""Figures of the bench: the file of a run, and the table and the chart that are kept for a release."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.figures import distance, keep, parse_json, render_chart, render_json, render_table
from bench.rows import Goal, Of, Row, compare_rates, single

ROWS = [
    compare_rates(
        "requests", [8.0, 9.0], [10.0, 10.0], unit="a second", peer_name="Envoy 1.40", goal=Goal(number=0.75)
    ),
    single(
        "building <the> CRL",
        [3.0],
        unit="s",
        goal=Goal(number=1.5, of=Of.OURS, at_most=True),
        notes=("Of it 2 s CPU.",),
    ),
    single("only to compare", [1.0], unit="ms"),
    Row(name="memory", missing="only root may read it"),
]
ABOUT = {"Doorward": "0.1.0", "disk": "ext4, with fsync"}


def test_the_file_of_a_run_has_every_row() -> None:
    """Other programs find the rows below one key."""
    text = render_json(ROWS, ABOUT)
    assert [one["name"] for one in json.loads(text)["rows"]] == [one.name for one in ROWS]
    rows, about = parse_json(text)
    assert [Row.from_json(one) for one in rows] == ROWS
    assert about == ABOUT


def test_the_table_says_what_is_held_missed_and_not_measured() -> None:
    """A missed goal is seen at once, and a missing value has its reason."""
    lines = render_table(ROWS).splitlines()
    assert (
        lines[2]
        == "| requests | 8.50 a second | 10 a second (Envoy 1.40) | 0.85 x (0.80 to 0.90) | ≥ 0.75 x | yes |"
    )
    assert lines[3] == "| building <the> CRL | 3 s | - | - | ≤ 1.50 | **no** |"
    assert lines[4] == "| only to compare | 1 ms | - | - | - | - |"
    assert lines[5] == "| memory | not measured: only root may read it | - | - | - | - |"
    assert "- **building <the> CRL**: Of it 2 s CPU." in lines


def test_the_chart_has_a_bar_for_each_goal_with_a_value() -> None:
    """It is well-formed, whatever the names contain."""
    root = ET.fromstring(render_chart(ROWS, "how far & how good"))
    bars = [one.get("class") for one in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["held", "missed"]
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "building <the> CRL" in texts
    assert "0.85 x (≥ 0.75 x)" in texts
    assert "memory" not in texts


@pytest.mark.parametrize(
    ("row", "factor"),
    [
        (compare_rates("a", [15.0], [10.0], goal=Goal(number=0.75)), 2.0),
        (single("b", [3.0], goal=Goal(number=1.5, of=Of.OURS, at_most=True)), 0.5),
        (single("c", [0.0], goal=Goal(number=1.5, of=Of.OURS, at_most=True)), 16.0),
        (single("d", [0.0], goal=Goal(number=1.5, of=Of.OURS)), 1 / 16),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_bar_is_as_long_as_the_factor_from_the_goal(row: Row, factor: float) -> None:
    """Above 1 the goal is held; a value of nothing ends the scale."""
    assert distance(row) == pytest.approx(factor)


def test_a_release_is_put_above_the_earlier_ones(tmp_path: Path) -> None:
    """A second try of a version takes the place of the first."""
    page = tmp_path / "README.md"
    page.write_text("# Figures\n\nHow they are made.\n")
    for version in ("0.8.0", "0.9.0", "0.9.0"):
        assert keep(ROWS, ABOUT, version, tmp_path) == [page, tmp_path / f"{version}.svg"]
    text = page.read_text()
    assert text.startswith("# Figures\n\nHow they are made.\n\n## 0.9.0\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## 0.9.0", "## 0.8.0"]
    assert "(0.9.0.svg)" in text
    assert "- disk: ext4, with fsync" in text
    assert text.count(render_table(ROWS).strip()) == 2
