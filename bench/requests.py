"""Requests on kept connections with identity and 100 rules, 20 of them on the route; ours is counted until all are in the record.

Against a bare Envoy with the same log, with everything on one core; by the CPU of Envoy alone; and against nginx with
`auth_request`, which asks a judge in Python (or itself, and then nothing is judged).
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.rows import Goal, Row
from bench.scene import Scene, by_edge, compare, in_turn, of_door, of_peer, profile

AT_ONCE = 64
COUNT = 100_000
AS_BARE = Goal(number=0.75)
AS_ENVOY = Goal(number=0.72)
AS_ASKING = Goal(number=3.0)


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    count = scene.count(COUNT)
    found = in_turn(
        {
            "ours": of_door(scene.few(), "keep", AT_ONCE, count),
            "bare": of_peer(scene.bare, "keep", AT_ONCE, count),
            "asking": of_peer(scene.asking, "keep", AT_ONCE, count),
            "itself": of_peer(scene.asking_itself, "keep", AT_ONCE, count),
        },
        scene.rounds,
    )
    ours = found["ours"]
    bare, asking = f"bare {scene.bare.name}", f"{scene.asking.name} + auth_request"
    yield compare(
        "keep-alive requests, one core",
        ours,
        found["bare"],
        peer_name=bare,
        goal=AS_BARE,
        notes=(profile(ours),),
    )
    yield by_edge(
        "keep-alive requests, CPU of Envoy alone", ours, found["bare"], peer_name=bare, goal=AS_ENVOY
    )
    yield compare(
        "keep-alive requests, against auth_request",
        ours,
        found["asking"],
        peer_name=f"{asking}, a judge in Python",
        goal=AS_ASKING,
    )
    yield compare(
        "keep-alive requests, against auth_request that judges nothing",
        ours,
        found["itself"],
        peer_name=f"{asking}, answered by nginx itself",
    )
