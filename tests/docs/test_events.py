"""The page of events names every event with every field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doorward.audit.catalogue import CATALOGUE, EventType

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
ROWS: dict[str, str] = dict(re.findall(r"^\| `([a-z-]+:[a-z-]+)` \|(.+)$", PAGE, re.MULTILINE))


def test_no_event_is_missing_or_invented() -> None:
    """Each event of the code has a row, and each row is an event of the code."""
    assert set(ROWS) == {event.value for event in EventType}


@pytest.mark.parametrize("event", list(EventType), ids=[event.value for event in EventType])
def test_every_field_of_an_event_is_named(event: EventType) -> None:
    """The row of an event names its public and personal fields."""
    spec, words = CATALOGUE[event], set(re.findall(r"[a-z0-9_]+", ROWS[event.value]))
    of_all = set(re.findall(r"`([a-z_]+)`", PAGE.partition("## Retention")[0]))
    assert set(spec.fields) <= words
    assert set(spec.personal) - of_all <= words
