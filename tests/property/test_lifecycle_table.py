"""The state table, every combination and every walk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from doorward.core.certificate import CertificateState
from doorward.core.errors import RequestRefused
from doorward.pki.lifecycle import TRANSITIONS, LifecycleStep, check_transition


@given(st.sampled_from(CertificateState), st.sampled_from(LifecycleStep))
def test_check_and_table_agree(state, step):
    """A step is allowed exactly if the table has it, and leads to the state in the table."""
    try:
        after = check_transition(state, step).after
    except RequestRefused as refusal:
        assert (state, step) not in TRANSITIONS
        assert refusal.code == "transition-refused"  # noqa: PT017 - both outcomes are the property
    else:
        assert TRANSITIONS[state, step] is after


@given(st.lists(st.sampled_from(LifecycleStep), max_size=12))
def test_no_walk_leads_out_of_revoked_or_back_to_intended(steps):
    """After any requests in any order, revoked stays revoked and no certificate becomes intended again."""
    state, was_revoked = CertificateState.INTENDED, False
    for step in steps:
        try:
            state = check_transition(state, step).after
        except RequestRefused:
            continue
        assert state is not CertificateState.INTENDED
        assert not was_revoked
        was_revoked = state is CertificateState.REVOKED
