"""A length of time as people write it: `90 d`, `12 h`, `30 m`, `5 s`.

Not here: reading it (`runtime.durations`), and the stricter forms of documents (`policy.time_spans`).
"""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def describe_time(time: timedelta) -> str:
    """Return a time in whole seconds, in the largest unit that makes it a whole number."""
    seconds = time // timedelta(seconds=1)
    for unit, size in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
