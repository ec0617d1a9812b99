"""Authority withdrawn in six ways, and how long something still comes through: from the commit time to the last of it.

The victim has a kept connection with requests, an open WebSocket, an open TCP connection, and loops of new connections; two bystanders
work on and must not be disturbed (`tests.support.withdrawal`). Meanwhile 5,000 connections of other people are kept, and each of
them must still answer a request at the end. Another process commits the changes, as the command line does.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

from bench import seeding
from bench.load import holding
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene
from tests.support.tcp import greeter
from tests.support.withdrawal import GOAL_SECONDS, TARGETS, Figures
from tests.support.withdrawal import Scene as Withdrawals
from tests.support.withdrawal import measure as withdraw
from tests.support.withdrawer import KINDS

TRIES, QUICK_TRIES = 100, 10
KEPT = 5_000
_OTHERS = "- {allow: {groups: [group0]}}\n"  # every client of the bench is in it
_SWITCH_SECONDS = 0.0005
"""How long a thread of the bench may make the others wait, which note down when something came: some have to."""


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the worst of all tries for each way of withdrawing and each thing that must end."""
    seeded = not seeding.missing(quick=scene.quick)
    door = scene.million() if seeded else scene.few()
    known = "1,000,000 certificates" if seeded else "2 certificates"
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with greeter() as server:
            scenery = Withdrawals(door.house, server.port, _OTHERS)
            for kind in KINDS:
                with holding(door.target, KEPT) as held, contextlib.redirect_stdout(io.StringIO()):
                    figures = withdraw(scenery, kind, QUICK_TRIES if scene.quick else TRIES)
                (asked,) = held
                if asked.refused or asked.ok < KEPT:
                    figures.faults.append(
                        f"{asked.refused} of {KEPT} kept connections ended, {asked.ok} answered: {asked.why}"
                    )
                yield from _rows(figures, f"{known}, {KEPT:,} live connections")
    finally:
        sys.setswitchinterval(usual)
        scene.close_door()  # its policy is another one now


def _rows(figures: Figures, amid: str) -> Iterator[Row]:
    committed = [value * 1e3 for value in figures.committed]
    itself = f"the commit itself: median {_at(committed, 0.5):.0f} ms, worst {max(committed):.0f} ms"
    for target in TARGETS:
        values = [value * 1e3 for value in figures.seconds[target]]
        missed = sum(value > GOAL_SECONDS * 1e3 for value in values)
        spread = f"median {_at(values, 0.5):.0f} ms, p99 {_at(values, 0.99):.0f} ms, {missed} over the goal"
        yield single(
            f"{figures.kind}: {target}, worst of {len(values)}",
            [max(values)],
            unit="ms",
            goal=Goal(number=GOAL_SECONDS * 1e3, of=Of.OURS, at_most=True),
            notes=(f"{amid}; {spread}; {itself}.", *(f"Fault: {one}." for one in figures.faults)),
        )


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
