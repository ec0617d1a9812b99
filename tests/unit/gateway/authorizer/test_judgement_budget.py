"""The cost of judging unknown certificates: limits by source and in all, and certificates that they do not affect."""

from __future__ import annotations

from doorward.gateway.authorizer.judgement_budget import (
    MOST_SOURCES,
    SOURCE_BURST,
    SOURCE_RATE,
    TOTAL_BURST,
    TOTAL_RATE,
    JudgementBudget,
)
from tests.support.ports import FakeClock

COST = 0.04


def spend(budget: JudgementBudget, clock: FakeClock, source: bytes, seconds: int) -> float:
    """Let a source be judged as often as it may within so many seconds; return what it cost."""
    spent = 0.0
    for _ in range(seconds * 10):
        while budget.allows(source):
            budget.charge(source, COST)
            spent += COST
        clock.turn(seconds=0.1)
    return spent


def test_a_source_costs_its_rate() -> None:
    """Chains of 40 ms, as many as anybody likes to send: a burst, then a twentieth of a processor."""
    clock = FakeClock()
    spent = spend(JudgementBudget(clock), clock, b"one", 60)
    assert SOURCE_BURST + 59 * SOURCE_RATE <= spent <= SOURCE_BURST + 60 * SOURCE_RATE + COST


def test_one_source_takes_nothing_from_another() -> None:
    """A stranger elsewhere is judged while one source is refused."""
    clock = FakeClock()
    budget = JudgementBudget(clock)
    spend(budget, clock, b"one", 1)
    assert not budget.allows(b"one")
    assert budget.allows(b"two")


def test_all_strangers_together_are_bounded() -> None:
    """A thousand sources cost a quarter of a processor, and then every stranger waits."""
    clock = FakeClock()
    budget = JudgementBudget(clock)
    spent = 0.0
    for second in range(20):
        for number in range(100):
            source = f"{second}:{number}".encode()
            while budget.allows(source):
                budget.charge(source, COST)
                spent += COST
        assert not budget.allows(b"a stranger")
        clock.turn(seconds=1)
    assert spent <= TOTAL_BURST + 20 * TOTAL_RATE + COST
    assert budget.allows(b"a stranger")


def test_what_is_remembered_is_bounded() -> None:
    """Beyond the most sources the newest share one account; who paid back is forgotten."""
    clock = FakeClock()
    budget = JudgementBudget(clock)
    for number in range(MOST_SOURCES + 10):
        budget.charge(str(number).encode(), 1e-6)
    budget.charge(b"beyond", SOURCE_BURST * 1.2)
    assert not budget.allows(b"beyond")
    assert not budget.allows(b"never seen")
    assert budget.allows(b"1")
    clock.turn(seconds=2 * SOURCE_BURST / SOURCE_RATE)
    budget.charge(b"later", SOURCE_BURST * 1.2)
    assert not budget.allows(b"later")
    assert budget.allows(b"never seen")
