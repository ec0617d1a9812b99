"""The certificate state table."""

from __future__ import annotations

from contextlib import suppress

import pytest

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused
from doorward.pki.lifecycle import TRANSITIONS, LifecycleStep, Transition, check_transition, list_reasons
from tests.support.refusals import refused

INTENDED, VALID = CertificateState.INTENDED, CertificateState.VALID
ON_HOLD, REVOKED = CertificateState.ON_HOLD, CertificateState.REVOKED


@pytest.mark.parametrize(
    ("before", "step", "after", "reason"),
    [
        (INTENDED, LifecycleStep.ISSUE, VALID, None),
        (VALID, LifecycleStep.REVOKE, REVOKED, RevocationReason.UNSPECIFIED),
        (VALID, LifecycleStep.HOLD, ON_HOLD, RevocationReason.CERTIFICATE_HOLD),
        (ON_HOLD, LifecycleStep.RELEASE, VALID, None),
        (ON_HOLD, LifecycleStep.REVOKE, REVOKED, RevocationReason.UNSPECIFIED),
    ],
)
def test_the_steps_that_there_are(before, step, after, reason):
    """Five transitions, and no other."""
    assert check_transition(before, step) == Transition(before=before, after=after, reason=reason)
    assert len(TRANSITIONS) == 5


def test_revocation_is_final():
    """No step leads out of revoked, and the refusal says so."""
    for step in LifecycleStep:
        with refused(RequestRefused, "transition-refused") as caught:
            check_transition(REVOKED, step)
        assert "final" in caught.value.hint


def test_a_revocation_keeps_its_reason():
    """The reason given is the reason recorded."""
    for reason in (RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED):
        assert check_transition(VALID, LifecycleStep.REVOKE, reason).reason is reason


@pytest.mark.parametrize(
    ("state", "step", "reason"),
    [
        (VALID, LifecycleStep.REVOKE, RevocationReason.CERTIFICATE_HOLD),
        (VALID, LifecycleStep.REVOKE, RevocationReason.AA_COMPROMISE),
        (VALID, LifecycleStep.REVOKE, RevocationReason.CA_COMPROMISE),
        (VALID, LifecycleStep.HOLD, RevocationReason.KEY_COMPROMISE),
        (ON_HOLD, LifecycleStep.RELEASE, RevocationReason.SUPERSEDED),
        (INTENDED, LifecycleStep.ISSUE, RevocationReason.UNSPECIFIED),
    ],
)
def test_reasons_go_with_their_steps(state, step, reason):
    """A hold is no revocation reason, and the other way round; release and issue have none."""
    with refused(RequestRefused, "reason-refused"):
        check_transition(state, step, reason)


def test_a_hold_may_name_its_own_reason():
    """Saying certificate-hold with a hold is no contradiction."""
    transition = check_transition(VALID, LifecycleStep.HOLD, RevocationReason.CERTIFICATE_HOLD)
    assert transition.reason is RevocationReason.CERTIFICATE_HOLD


def test_reasons_that_are_listed_are_those_that_are_taken():
    """The list offers exactly what a revocation accepts."""
    accepted = []
    for reason in RevocationReason:
        with suppress(RequestRefused):
            check_transition(VALID, LifecycleStep.REVOKE, reason)
            accepted.append(reason)
    assert list(list_reasons()) == accepted


@pytest.mark.parametrize("reason", [RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE])
def test_reasons_of_other_certificates_are_refused(reason):
    """RFC 5280 section 5.3.1 keeps these for CA and attribute certificates, which the inventory has none of."""
    with refused(RequestRefused, "reason-refused"):
        check_transition(VALID, LifecycleStep.REVOKE, reason)
