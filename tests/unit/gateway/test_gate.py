"""The policy gate: who may go on when, with real threads and no waiting for time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from doorward.gateway.gate import PolicyGate


def test_nothing_is_in_force_before_the_first_opening() -> None:
    """A fresh gate lets nobody pass, whatever the revision, also the empty one with number 0."""
    gate = PolicyGate()
    assert gate.revision == -1
    assert not gate.wait(0, 0.0)
    assert not gate.wait(1, 0.0)


def test_exactly_the_revision_in_force_passes() -> None:
    """An older judgement must be repeated and a newer one waits: only the same revision goes on."""
    gate = PolicyGate()
    gate.open(3)
    assert gate.revision == 3
    assert gate.wait(3, 0.0)
    assert not gate.wait(2, 10.0)
    assert not gate.wait(4, 0.0)


def test_whoever_waits_goes_on_when_the_gate_opens() -> None:
    """Opening wakes those who wait: the same revision passes, one that was passed over does not."""
    gate = PolicyGate()
    gate.open(1)
    with ThreadPoolExecutor(2) as pool:
        same, passed = pool.submit(gate.wait, 3, 30.0), pool.submit(gate.wait, 2, 30.0)
        gate.open(3)
        assert same.result(10)
        assert not passed.result(10)
