"""What the decision adds to a new connection on an idle machine: one connection after the other, from connect to the answer.

Against the same Envoy without the call to the authorizer, in turn. The difference has the judgement, the policy, the record of the
decision with its fsync, and the whole of our filters.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.rows import Row
from bench.scene import Round, Scene, in_turn, of_door, of_peer

COUNT = 1_000


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the median and the 99th percentile."""
    count = scene.count(COUNT)
    sides = {"ours": of_door(scene.few(), "new", 1, count), "bare": of_peer(scene.bare, "new", 1, count)}
    found = in_turn(sides, scene.rounds)
    for percentile, name in (("p50", "median"), ("p99", "99th percentile")):
        ours, bare = _milliseconds(found["ours"], percentile), _milliseconds(found["bare"], percentile)
        added = [one - other for one, other in zip(ours, bare, strict=True)]
        yield Row(
            name=f"decision added to a handshake, idle, {name}",
            unit="ms",
            ours=statistics.median(added),
            low=min(added),
            high=max(added),
            notes=(
                (
                    f"A connection with its request: {statistics.median(ours):.1f} ms, "
                    f"and {statistics.median(bare):.1f} ms by bare {scene.bare.name}."
                ),
            ),
        )


def _milliseconds(rounds: list[Round], percentile: str) -> list[float]:
    return [one.latency_us[percentile] / 1e3 for one in rounds]
