"""Durations as people write them in settings and options.

Not here: which durations a setting allows (`settings`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,6})?) ?([smhd]?)", re.ASCII)


def parse_duration(value: Any) -> timedelta:
    """Return a duration written as seconds (`5`, `0.5`) or with a unit (`5s`, `30m`, `12h`, `7d`)."""
    if isinstance(value, timedelta):
        return value
    found = None if isinstance(value, bool) else _DURATION.fullmatch(str(value))
    if not found:
        raise ValueError("write it as a number and a unit, for instance 5s, 30m, 12h or 7d")
    return timedelta(**{_UNITS[found.group(2) or "s"]: float(found.group(1))})


def render_duration(span: timedelta) -> str:
    """Return a duration as `parse_duration` reads it, in the largest unit that divides it."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
