"""Durations as people write them in settings and options.

Not here: which durations a setting allows (`settings`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from doorward.core.time_text import describe_time

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


def render_option_duration(span: timedelta) -> str:
    """Return a duration as an option or a setting has it, in the largest unit that divides it."""
    return describe_time(span).replace(" ", "")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
