"""The steps that both judges share: what the reasons come to."""

from __future__ import annotations

import pytest

from doorward.core.certificate import CertificateState
from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.verification.steps import GOOD_REASONS, conclude, judge_account, judge_state
from tests.support.records import principal

GOOD = [Reason.CERTIFICATE_WELL_FORMED, Reason.PRINCIPAL_ACTIVE]


@pytest.mark.parametrize("reason", [one for one in Reason if one not in GOOD_REASONS], ids=str)
def test_one_reason_against_it_is_enough(reason):
    """Any reason that is not good refuses; an unknown status is undetermined if it is the only one."""
    alone = Outcome.UNDETERMINED if reason is Reason.REVOCATION_STATUS_UNDETERMINED else Outcome.BAD
    assert conclude([*GOOD, reason]) is alone
    assert conclude([*GOOD, reason, Reason.NAME_MISMATCH]) is Outcome.BAD
    assert conclude(GOOD) is Outcome.GOOD


def test_every_state_has_a_reason():
    """One state of a certificate, and one of a principal, is good."""
    states = {state: judge_state(state) for state in (None, *CertificateState)}
    assert [state for state, reason in states.items() if reason in GOOD_REASONS] == [CertificateState.VALID]
    accounts = {state: judge_account(principal("alice", state=state)) for state in PrincipalState}
    assert [state for state, one in accounts.items() if one in GOOD_REASONS] == [PrincipalState.ACTIVE]
    assert judge_account(None) is Reason.PRINCIPAL_UNKNOWN
