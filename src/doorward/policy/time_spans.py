"""Time spans in a document: a number and s, m or h.

Not here: the limits of a time span (each key has its own).
"""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"([1-9][0-9]{0,5})(s|m|h)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


def parse_time_span(text: str) -> timedelta | None:
    """Return the time span of a text such as `90s`, `10m` or `2h`, at most 999,999 of a unit; None for any other text."""
    match = _SPAN.fullmatch(text)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def render_time_span(span: timedelta) -> str:
    """Return a time span of whole seconds in the largest unit that makes it a whole number; `parse_time_span` reads it."""
    seconds = span // timedelta(seconds=1)
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
