"""A fraction that belongs to a text."""

from __future__ import annotations

from doorward.core.spread import fraction_of


def test_a_text_has_one_fraction_and_many_are_evenly_spread() -> None:
    """Any text has one, also with a lone surrogate; each tenth has about a tenth of a thousand."""
    assert fraction_of("\ud800") == fraction_of("\ud800")
    tenths = [int(fraction_of(f"crt_{number}") * 10) for number in range(1000)]
    assert all(60 < tenths.count(tenth) < 140 for tenth in range(10))
