"""Limits of one application: how long its connections may be idle, and how large header fields may be.

    timeouts: {idle: 2h}
    limits: {headers: 512, header_kilobytes: 64}

Not here: limits of the whole gateway (enforcement.plan), settings (runtime.settings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from doorward.policy.node_reader import NodeReader
from doorward.policy.time_spans import parse_time_span, render_time_span
from doorward.policy.yaml_tree import Node

IDLE = timedelta(hours=1)
"""Reverse proxies end an idle exchange after 1 minute (nginx) to never (Caddy). One hour lets chats, event streams and
slow reports live, and frees the resources of a client that disappeared."""

LONGEST_IDLE = timedelta(days=1)

HEADERS = 512
"""A browser keeps up to 180 cookies for a site, and HTTP/2 may send each as a field of its own."""

HEADER_KILOBYTES = 64
MOST_HEADERS = 2_048
MOST_HEADER_KILOBYTES = 256

_COUNT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLimits:
    """Limits of one application.

    Args:
        idle: a request, an answer or a WebSocket ends if no byte moves in either direction for this long.
        headers: the largest number of header fields of a request, and of an answer.
        header_kilobytes: the largest size of these header fields.
    """

    idle: timedelta = IDLE
    headers: int = HEADERS
    header_kilobytes: int = HEADER_KILOBYTES

    def __post_init__(self) -> None:
        good = timedelta(seconds=1) <= self.idle <= LONGEST_IDLE and not self.idle.microseconds
        if not good or not 1 <= self.headers <= MOST_HEADERS:
            raise ValueError("the limits of an application are out of range")
        if not 1 <= self.header_kilobytes <= MOST_HEADER_KILOBYTES:
            raise ValueError("the limits of an application are out of range")


DEFAULT_APP_LIMITS = AppLimits()
"""The limits of an application that names none."""

APP_LIMIT_KEYS = ("timeouts", "limits")


def read_app_limits(reader: NodeReader, found: dict[str, Node], key: str) -> AppLimits:
    """Return what `timeouts` and `limits` of an application say; note faults.

    Args:
        reader: reads nodes, and notes faults.
        found: the application's entries.
        key: the application's path in the document.
    """
    times = reader.mapping(found["timeouts"], f"{key}.timeouts", ("idle",)) if "timeouts" in found else {}
    words = ("headers", "header_kilobytes")
    counts = reader.mapping(found["limits"], f"{key}.limits", words) if "limits" in found else {}
    idle = _read_span(reader, times["idle"], f"{key}.timeouts.idle") if "idle" in times else IDLE
    most = {"headers": MOST_HEADERS, "header_kilobytes": MOST_HEADER_KILOBYTES}
    numbers = {
        word: _read_count(reader, node, f"{key}.limits.{word}", most[word]) for word, node in counts.items()
    }
    return AppLimits(idle=idle, **{word: number for word, number in numbers.items() if number})


def render_app_limits(app_limits: AppLimits) -> list[str]:
    """Return the lines below an application; none for the defaults."""
    lines = []
    if app_limits.idle != IDLE:
        lines.append(f"    timeouts: {{idle: {render_time_span(app_limits.idle)}}}")
    limits = [f"headers: {app_limits.headers}"] if app_limits.headers != HEADERS else []
    if app_limits.header_kilobytes != HEADER_KILOBYTES:
        limits.append(f"header_kilobytes: {app_limits.header_kilobytes}")
    return [*lines, f"    limits: {{{', '.join(limits)}}}"] if limits else lines


def app_limit_facts(app_limits: AppLimits) -> dict[str, str]:
    """Return each limit that is not the default by key, for a comparison of documents."""
    lines = (line.strip().partition(": ") for line in render_app_limits(app_limits))
    return {key: text for key, _, text in lines}


def _read_span(reader: NodeReader, node: Node, key: str) -> timedelta:
    text = reader.text(node, key)
    span = parse_time_span(text.value) if text else None
    if text and (span is None or span > LONGEST_IDLE):
        hint = "write a number and s, m or h, such as 90s, 10m or 2h"
        reader.add_fault(
            text,
            "limit-malformed",
            f"{text.value!r} is not a time span of at most 24h",
            key=key,
            hint=hint,
        )
        return IDLE
    return span or IDLE


def _read_count(reader: NodeReader, node: Node, key: str, most: int) -> int:
    text = reader.text(node, key)
    if text is None:
        return 0
    if not _COUNT.fullmatch(text.value) or int(text.value) > most:
        hint = f"write a number from 1 to {most}"
        reader.add_fault(
            text,
            "limit-malformed",
            f"{text.value!r} is not a number from 1 to {most}",
            key=key,
            hint=hint,
        )
        return 0
    return int(text.value)
