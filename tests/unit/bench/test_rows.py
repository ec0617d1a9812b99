"""Rows of the bench: when a goal is held, and what of a row is written down."""

from __future__ import annotations

import pytest

from bench.rows import Goal, Of, Row, compare_rates, render_number, single

AT_LEAST = Goal(number=0.75)
AT_MOST = Goal(number=1.5, of=Of.OURS, at_most=True)


def test_a_goal_of_the_ratio_is_judged_by_the_median_of_the_rounds() -> None:
    """Each round has a ratio of its own, so that a slow moment of the machine changes both sides."""
    row = compare_rates("requests", [80.0, 10.0, 90.0], [100.0, 20.0, 100.0], goal=AT_LEAST)
    assert (row.ratio, row.low, row.high) == (0.8, 0.5, 0.9)
    assert (row.ours, row.peer) == (80.0, 100.0)
    assert row.held is True


def test_of_costs_less_is_better() -> None:
    """Half of the peer's microseconds is twice its speed."""
    assert compare_rates("handshakes", [50.0], [100.0], inverse=True).ratio == 2.0


def test_a_goal_of_our_own_value_needs_no_peer() -> None:
    """A limit in seconds is kept below it."""
    assert single("CRL", [1.4], unit="s", goal=AT_MOST).held is True
    assert single("CRL", [1.6], unit="s", goal=AT_MOST).held is False


def test_a_row_without_a_value_says_why_and_judges_nothing() -> None:
    """A value is never made up."""
    row = Row(name="memory", goal=AT_MOST, missing="only root may read it")
    assert row.held is None
    assert row.as_json()["ours"] is None
    with pytest.raises(ValueError, match="memory"):
        Row(name="memory")
    with pytest.raises(ValueError, match="memory"):
        Row(name="memory", ours=1.0, missing="but there is one")


def test_a_row_without_a_goal_is_neither_held_nor_missed() -> None:
    """Some rows are only there to compare."""
    assert single("bytes", [1.0]).held is None


@pytest.mark.parametrize(
    "row",
    [
        compare_rates("requests", [8.0], [10.0], goal=AT_LEAST, unit="a second", peer_name="nginx 1.22"),
        single("OCSP", [9000.0, 16_000.0], goal=Goal(number=15_000, of=Of.OURS), notes=("One.", "Two.")),
        single("CRL", [1.4], goal=AT_MOST),
        Row(name="memory", missing="only root may read it"),
    ],
    ids=lambda row: row.name,
)
def test_a_row_that_was_written_is_read_again(row: Row) -> None:
    """A release's table is made from the file of a run."""
    assert Row.from_json(row.as_json()) == row


def test_what_scripts_read_of_a_row() -> None:
    """The names in the file stay."""
    found = compare_rates("requests", [8.0], [10.0], goal=AT_LEAST).as_json()
    wanted = {"name": "requests", "ours": 8.0, "peer": 10.0, "ratio": 0.8, "goal": "≥ 0.75 x", "held": True}
    assert wanted.items() <= found.items()


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (25_000.4, "25,000"), (450.2, "450"), (12.34, "12.3"), (0.754, "0.75"), (3.0, "3")],
)
def test_numbers_have_about_three_digits(number: float | None, text: str) -> None:
    """More would pretend a precision that no measurement has."""
    assert render_number(number) == text
