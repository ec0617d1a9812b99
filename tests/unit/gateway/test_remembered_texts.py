"""Texts that are remembered because they may repeat: however many others come, they take little memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from doorward.access.decision import SessionStatus
from doorward.gateway.connections.journal import render_entry
from tests.support.log_lines import parted
from tests.support.ports import NOON
from tests.support.rendered_lines import render
from tests.unit.gateway.live import live

COUNT = 3_000
MOST_BYTES = 2_000_000
"""Of one kind of texts, when all that were given differ."""


def kept_bytes(step: Callable[[int], object]) -> int:
    """Return how much memory is kept after a step was taken `COUNT` times."""
    tracemalloc.start()
    try:
        for number in range(COUNT):
            step(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_lines_of_the_access_log() -> None:
    """Each line is of another connection, person and second."""

    def line(number: int) -> None:
        moment = NOON + timedelta(seconds=number)
        fields = {
            "kind": "request",
            "certificate": f"crt_{number:020}",
            "remote": f"192.0.2.9:{number + 20_000}",
            "path": "/",
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
            "method": "GET",
            "connection": number,
            "decision": f"evt_{number:020}",
            "principal": f"per_{number:020}",
            "status": 200,
            "bytes_received": 0,
            "bytes_sent": number,
            "duration_ms": 1,
        }
        assert render(json.dumps(parted(fields)).encode()) is not None

    assert kept_bytes(line) < MOST_BYTES


def test_entries_of_the_journal() -> None:
    """Each entry is of another person, in another session."""

    def entry(number: int) -> None:
        name = f"{number:020}"
        render_entry(
            replace(
                live(number),
                certificate_id=f"crt_{name}",
                principal_id=f"per_{name}",
                grants=(f"g{name}",),
                judged_grants=(f"g{name}",),
                shown=frozenset({f"crt_{name}", f"per_{name}"}),
                sessions=SessionStatus(epoch=str(number)),
            )
        )

    assert kept_bytes(entry) < MOST_BYTES
