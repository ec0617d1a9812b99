"""Authority withdrawn in five ways, and how long something still comes through: from the commit time to the last of it.

The victim has a kept connection with requests, an open WebSocket, an open TCP connection, and loops of new connections; two bystanders
work on and must not be disturbed (`tests.support.withdrawal`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from bench import seeding
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene
from tests.support.tcp import greeter
from tests.support.withdrawal import GOAL_SECONDS, KINDS, TARGETS
from tests.support.withdrawal import Scene as Withdrawals
from tests.support.withdrawal import measure as withdraw

TRIES = 20


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the worst of all tries for each thing that must end."""
    kept = not seeding.missing(quick=scene.quick)
    door = scene.million() if kept else scene.few()
    tries = scene.count(TRIES) // 2 if scene.quick else TRIES
    with greeter() as server, contextlib.redirect_stdout(io.StringIO()):
        scenery = Withdrawals(door.house, server.port)
        every = [withdraw(scenery, kind, tries) for kind in KINDS]
    scene.close_door()  # its policy is another one now
    known = "1,000,000 certificates" if kept else "2 certificates"
    faults = [fault for one in every for fault in one.faults]
    for target in TARGETS:
        values = [value * 1e3 for one in every for value in one.seconds[target]]
        missed = sum(value > GOAL_SECONDS * 1e3 for value in values)
        yield single(
            f"withdrawn, {target}, worst of {len(values)}",
            [max(values)],
            unit="ms",
            goal=Goal(number=GOAL_SECONDS * 1e3, of=Of.OURS, at_most=True),
            notes=(
                f"{known}; median {sorted(values)[len(values) // 2]:.0f} ms, {missed} of {len(values)} over the goal.",
                *(f"Fault: {one}." for one in faults),
            ),
        )
