"""When connections end, as the story judges it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from doorward.demo.endings import AT_ONCE_MS, judge_end
from doorward.demo.report import Report

COMMITTED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("late_ms", "good"), [(30, True), (AT_ONCE_MS, True), (AT_ONCE_MS + 1, False), (4900, False), (-5, False)]
)
def test_an_end_is_at_once_or_not_as_told(late_ms: int, *, good: bool) -> None:
    """A connection that ends late, or before anything was changed, was not cut by the change."""
    report = Report(None)
    judge_end(report, "her connection ends", COMMITTED.timestamp() + late_ms / 1000, COMMITTED)
    assert report.well is good
    assert str(AT_ONCE_MS) in report.findings[0].expected


def test_an_end_that_does_not_come_is_not_as_told() -> None:
    """A connection that lives on is the worst."""
    report = Report(None)
    judge_end(report, "her connection ends", None, COMMITTED)
    assert not report.well
