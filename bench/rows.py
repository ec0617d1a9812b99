"""One row of the table: what was measured, of ours and of a peer, and whether the goal is held.

Not here: measuring, and writing rows down (`figures`, `chart`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Of(Enum):
    """What a goal is about."""

    RATIO = "x"
    OURS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A limit that a row should keep: of its ratio, or of our own value in the row's unit."""

    number: float
    of: Of = Of.RATIO
    at_most: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a value keeps it."""
        return value <= self.number if self.at_most else value >= self.number

    def render(self) -> str:
        """Return it as it stands in a table, such as `≥ 0.75 x`."""
        return f"{'≤' if self.at_most else '≥'} {render_number(self.number)}{f' {self.of.value}' if self.of.value else ''}"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal that `render` gave."""
        sign, number, *rest = text.split(" ")
        return cls(number=float(number.replace(",", "")), of=Of("".join(rest)), at_most=sign == "≤")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was measured.

    Args:
        name: of the thing; unique in a run.
        unit: of `ours` and `peer`.
        ours: our median; None if it could not be measured, and then `missing` says why.
        peer: the median of the peer in the same run.
        peer_name: who the peer is, with its version.
        ratio: how ours compares with the peer's; the median of the rounds' ratios. More is better.
        low: the smallest ratio of a round (without a peer: the smallest value).
        high: the largest one.
        goal: None if this row is only for comparison.
        notes: sentences on how it was measured, and the profile that explains a missed goal.
        missing: why there is no value.
    """

    name: str
    unit: str = ""
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: Goal | None = None
    notes: tuple[str, ...] = ()
    missing: str = ""

    def __post_init__(self) -> None:
        if (self.ours is None) != bool(self.missing):
            raise ValueError(f"{self.name}: a row has either a value or the reason why it is missing")

    @property
    def held(self) -> bool | None:
        """Whether the goal is held; None without a goal or without a value."""
        value = self.ratio if self.goal is not None and self.goal.of is Of.RATIO else self.ours
        return None if self.goal is None or value is None else self.goal.holds(value)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in `results.json`."""
        return {
            "name": self.name,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "goal": self.goal.render() if self.goal else None,
            "held": self.held,
            "unit": self.unit,
            "peer_name": self.peer_name,
            "low": self.low,
            "high": self.high,
            "notes": list(self.notes),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Row:
        """Return the row that `as_json` gave."""
        plain = {
            key: given[key]
            for key in ("name", "unit", "ours", "peer", "peer_name", "ratio", "low", "high", "missing")
        }
        goal = Goal.parse(given["goal"]) if given["goal"] else None
        return cls(**plain, goal=goal, notes=tuple(given["notes"]))


def compare_rates(
    name: str, ours: Sequence[float], peer: Sequence[float], *, inverse: bool = False, **more: Any
) -> Row:
    """Return the row of rounds that were measured in turn.

    Args:
        name: of the row.
        ours: one value for each round.
        peer: the peer's value of the same rounds.
        inverse: the values are costs (time for each), of which less is better.
        more: further fields of the row.
    """
    ratios = [
        (other / one if inverse else one / other) if one and other else 0.0
        for one, other in zip(ours, peer, strict=True)
    ]
    return Row(
        name=name,
        ours=statistics.median(ours),
        peer=statistics.median(peer),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        **more,
    )


def single(name: str, values: Sequence[float], **more: Any) -> Row:
    """Return the row of a value without a peer, from one or more rounds."""
    return Row(name=name, ours=statistics.median(values), low=min(values), high=max(values), **more)


def render_number(number: float | None) -> str:
    """Return a number with about three digits, thousands separated; a dash for None."""
    if number is None:
        return "-"
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    if abs(number) >= 100 or number == int(number):
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"
