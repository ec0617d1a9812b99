"""Spans of time as a document writes them: a number and s, m or h.

Not here: what a span may be for (each key says so itself).
"""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"([1-9][0-9]{0,5})(s|m|h)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


def parse_time_span(text: str) -> timedelta | None:
    """Return a span such as `90s`, `10m` or `2h`, at most 999,999 of a unit; None for any other text."""
    match = _SPAN.fullmatch(text)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def render_time_span(span: timedelta) -> str:
    """Return a span of whole seconds in the largest unit that makes it a whole number; it reads back as this span."""
    seconds = span // timedelta(seconds=1)
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
