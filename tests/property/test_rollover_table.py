"""The table of a rollover: whatever path is taken, nothing is issued that a door does not trust."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from doorward.authority.rollover.table import FACTS, TRANSITIONS, RolloverStep, check_step, next_step
from doorward.core.errors import RequestRefused
from doorward.stores.authority_protocols import FINAL_STATES, RolloverState


@given(st.lists(st.sampled_from(RolloverStep), max_size=30))
def test_no_path_issues_what_is_not_trusted(steps: list[RolloverStep]) -> None:
    """On every path: the authority that issues is trusted, also in the state before; trust ends only where it may."""
    state: RolloverState | None = None
    for step in steps:
        try:
            after = check_step(state, step)
        except RequestRefused as refusal:
            assert refusal.code == "rollover-step-refused"  # noqa: PT017  most steps are refused
            assert refusal.hint == next_step(state)  # noqa: PT017
            continue
        facts = FACTS[after]
        assert facts.issues in facts.trusted
        if state is not None:
            before = FACTS[state]
            # Every gateway has confirmed that it trusts the issuing one: that was the condition of the step.
            assert facts.issues in before.trusted
            if not before.trusted <= facts.trusted:
                assert after in (RolloverState.RETIRING, RolloverState.WITHDRAWING)
                # Only an authority that did not issue any more loses its trust.
                assert facts.issues == before.issues
        state = after


def test_every_state_is_reached_and_can_end() -> None:
    """Each state is reached from the beginning; from each there is a way to an end, and none leads out of an end."""
    reached: set[RolloverState | None] = {None}
    while True:
        more = {after for (before, _), after in TRANSITIONS.items() if before in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == {None, *RolloverState}
    assert FACTS.keys() == set(RolloverState)
    ending: set[RolloverState | None] = set(FINAL_STATES)
    for _ in RolloverState:
        ending |= {before for (before, _), after in TRANSITIONS.items() if after in ending}
    assert ending >= set(RolloverState)
    assert not any(before in FINAL_STATES for before, _ in TRANSITIONS)


def test_everything_but_a_retirement_can_be_undone() -> None:
    """Undo is possible in every state until retire."""
    undoable = {before for before, step in TRANSITIONS if step is RolloverStep.UNDO}
    over = {RolloverState.RETIRING, RolloverState.WITHDRAWING, *FINAL_STATES}
    assert undoable == set(RolloverState) - over
