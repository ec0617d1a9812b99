"""The selector key `time: {days, from, to, zone}`: the time at which the connection is judged.

Not here: the meaning of a window on a wall clock (`policy.time_windows`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable
from datetime import datetime

from doorward.policy.node_reader import NodeReader, suggest
from doorward.policy.scalars import render_list, render_scalar
from doorward.policy.selectors.key import SelectorKey
from doorward.policy.subject import FALSE, TRUE, UNDETERMINED, Subject, Truth
from doorward.policy.time_windows import DAY_MINUTES, DAYS, TimeWindow, find_zone, window_state
from doorward.policy.yaml_tree import Node, Scalar

_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_COMMON_ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo")


class TimeKey(SelectorKey[TimeWindow]):
    """`time`: a wall clock in the zone shows a time within the window."""

    word = "time"
    timed = True

    def read(self, reader: NodeReader, node: Node, key: str) -> TimeWindow | None:
        """Read the mapping; without `days` every day counts, and without `from` and `to` the whole day."""
        found = reader.mapping(node, key, ("days", "from", "to", "zone"))
        days = _read_days(reader, found["days"], f"{key}.days") if "days" in found else tuple(range(7))
        begin = _read_clock(reader, found["from"], f"{key}.from") if "from" in found else 0
        end = _read_clock(reader, found["to"], f"{key}.to") if "to" in found else DAY_MINUTES
        if begin == DAY_MINUTES:
            reader.add_fault(
                found["from"],
                "window-malformed",
                "24:00 is not the beginning of a day",
                key=f"{key}.from",
                hint='write "00:00"',
            )
            return None
        zone = self._read_zone(reader, node, found.get("zone"), key)
        if not days or begin is None or end is None or not zone:
            return None
        try:
            # `to: 00:00` is the end of the day.
            return TimeWindow(days=days, begin=begin, end=end or DAY_MINUTES, zone=zone)
        except ValueError as error:
            hint = "write a `from` and a `to` that differ; remove `time` if the rule holds at any time"
            reader.add_fault(
                node, "window-malformed", f"the time window is malformed: {error}", key=key, hint=hint
            )
            return None

    def _read_zone(self, reader: NodeReader, node: Node, zone: Node | None, key: str) -> str:
        if zone is None:
            hint = "write for example `zone: Europe/Berlin` or `zone: UTC`"
            reader.add_fault(
                node, "missing-key", "the time window has no `zone`", key=f"{key}.zone", hint=hint
            )
            return ""
        text = reader.text(zone, f"{key}.zone")
        if text is None:
            return ""
        if find_zone(text.value) is None:
            message = f"there is no time zone {text.value[:64]!r}"
            hint = suggest(text.value[:64], _COMMON_ZONES)
            reader.add_fault(zone, "time-zone-unknown", message, key=f"{key}.zone", hint=hint)
            return ""
        return text.value

    def render(self, value: TimeWindow) -> str:
        """Write the mapping."""
        parts = []
        if len(value.days) < len(DAYS):
            parts.append(f"days: {render_list(DAYS[day] for day in value.days)}")
        if (value.begin, value.end) != (0, DAY_MINUTES):
            parts += [f'from: "{_render_clock(value.begin)}"', f'to: "{_render_clock(value.end)}"']
        parts.append(f"zone: {render_scalar(value.zone)}")
        return "{" + ", ".join(parts) + "}"

    def judge(self, value: TimeWindow, subject: Subject) -> Truth:
        """Look at the clock."""
        state = None if subject.time is None else window_state(value, subject.time)
        if state is None:
            return UNDETERMINED
        return TRUE if state[0] else FALSE

    def discriminator(self, _values: Collection[TimeWindow]) -> Callable[[Subject], Hashable]:
        """Return the time itself: subjects at different times have different next changes, even if the answer is the same now."""
        return lambda subject: subject.time

    def next_change(self, value: TimeWindow, now: datetime) -> datetime | None:
        """Return when the answer changes."""
        state = window_state(value, now)
        return None if state is None else state[1]

    def explain(self, value: TimeWindow, subject: Subject) -> str:
        """Name the time on the clock, and the window."""
        zone = find_zone(value.zone)
        if subject.time is None or zone is None:
            return f"time: cannot be determined, the rule needs {self.render(value)}"
        wall = subject.time.astimezone(zone)
        now = f"{DAYS[wall.weekday()]} {wall:%H:%M} in {value.zone}"
        return f"time: it is {now}, the rule needs {self.render(value)}"


def _read_days(reader: NodeReader, node: Node, key: str) -> tuple[int, ...]:
    """Read days and ranges of days: `mon`, `mon-fri`, `fri-mon`."""
    found: set[int] = set()
    for text in reader.texts(node, key):
        first, dash, last = text.value.partition("-")
        ends = [first, last] if dash else [first]
        wrong = next((one for one in ends if one not in DAYS), None)
        if wrong is not None:
            message = f"{wrong[:16]!r} is not a day"
            reader.add_fault(
                text,
                "unknown-value",
                message,
                key=key,
                hint=f"write {', '.join(DAYS)}, or a range such as mon-fri",
            )
            continue
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0))}
    return tuple(sorted(found))


def _read_clock(reader: NodeReader, node: Node, key: str) -> int | None:
    """Read `HH:MM` as minutes; `24:00` is the end of a day."""
    text = node.value if isinstance(node, Scalar) else ""
    match = _CLOCK.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else DAY_MINUTES + 1
    if minutes > DAY_MINUTES:
        hint = 'write hours and minutes with two digits each, such as "08:30"; "24:00" is the end of a day'
        reader.add_fault(node, "window-malformed", f"{text[:16]!r} is not a time of day", key=key, hint=hint)
        return None
    return minutes


def _render_clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


TIME = TimeKey()
