"""Rounds of the bench: by the clock on a core of our own, by CPU time where others used it."""

from __future__ import annotations

from collections.abc import Callable

from bench.rows import single
from bench.scene import (
    MOST_FOREIGN,
    Measurement,
    Round,
    alone,
    by_edge,
    compare,
    in_turn,
    mark_disturbed,
    profile,
)


def _round(
    rate: float, cpu_us: float, *, foreign: float = 0.0, edge_us: float = 0.0, **threads: float
) -> Round:
    return Round(
        rate=rate,
        cpu_us=cpu_us,
        edge_us=edge_us or cpu_us,
        foreign=foreign,
        generator=0.3,
        rest=0.4,
        latency_us={},
        by_thread=threads,
    )


OURS = [_round(400.0, 2000.0, edge_us=500.0), _round(500.0, 2000.0, edge_us=500.0)]
PEER = [_round(1000.0, 1000.0), _round(1000.0, 1000.0)]
DISTURBED = [_round(50.0, 1000.0, foreign=MOST_FOREIGN * 2)]


def test_on_a_core_of_our_own_the_clock_counts() -> None:
    """Waiting for the disk is part of the work."""
    row = compare("connections", OURS, PEER)
    assert (row.ours, row.peer, row.ratio, row.unit) == (450.0, 1000.0, 0.45, "a second")


def test_if_others_use_the_core_cpu_time_counts_and_the_row_says_so() -> None:
    """A busy machine must neither hold nor miss a goal."""
    row = compare("connections", OURS[:1], DISTURBED)
    assert (row.ours, row.peer, row.ratio, row.unit) == (500.0, 1000.0, 0.5, "a second of CPU")
    assert row.notes[0] == "Other programs used 20% of the measured core, so this is by CPU time."
    assert alone("answers", DISTURBED).ours == 1000.0


def test_a_row_says_how_busy_the_generator_was() -> None:
    """It must not be the bottleneck."""
    (note,) = compare("connections", OURS, PEER).notes
    assert "The generator used 30% of its core at most, everything on that core 40%." in note


def test_with_the_rest_on_another_core_only_the_part_of_envoy_counts() -> None:
    """Less CPU than the peer is better."""
    row = by_edge("connections", OURS, PEER)
    assert (row.ours, row.peer, row.ratio) == (500.0, 1000.0, 2.0)


def test_a_row_by_the_clock_says_if_the_machine_was_busy() -> None:
    """A row by CPU time has nothing to say about it."""
    page, cpu = single("a page", [20.0], unit="ms"), single("events", [20.0], unit="a second of CPU")
    assert mark_disturbed(page, MOST_FOREIGN / 2) == page
    assert mark_disturbed(cpu, 0.5) == cpu
    (note,) = mark_disturbed(page, 0.5).notes
    assert note.startswith("Other programs used 50% of both cores")


def test_the_profile_names_the_threads_with_the_most_cpu() -> None:
    """It is the mean of the rounds."""
    rounds = [
        _round(1.0, 1.0, authorizer=100.0, ingest=10.0),
        _round(1.0, 1.0, authorizer=200.0, ingest=20.0),
    ]
    assert profile(rounds, most=1) == "CPU by thread, µs for each: authorizer 150."


def test_sides_are_measured_in_turn_after_a_shorter_warm_up() -> None:
    """So a change in the machine's speed affects both."""
    calls: list[tuple[str, float]] = []

    def side(name: str) -> Measurement:
        def measure(share: float) -> Round:
            calls.append((name, share))
            return PEER[0]

        return measure

    sides: dict[str, Callable[[float], Round]] = {"ours": side("ours"), "peer": side("peer")}
    found = in_turn(sides, 2)
    assert {name: len(rounds) for name, rounds in found.items()} == {"ours": 2, "peer": 2}
    assert calls == [("ours", 0.2), ("peer", 0.2), *[("ours", 1.0), ("peer", 1.0)] * 2]
