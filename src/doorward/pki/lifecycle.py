"""The certificate state table: which step leads from which state to which.

Not here: storing the state and its event (authority.issuing, in one transaction). Expiry is no state.

    intended --issue--> valid --revoke--> revoked
                        |   ^               ^
                      hold  release         |
                        v   |               |
                       on-hold ----revoke---+

Standard: RFC 5280 section 5.3.1 (reasons; a hold is the one revocation that may be taken back).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused


class LifecycleStep(Enum):
    """What may be done to a certificate."""

    ISSUE = "issue"
    HOLD = "hold"
    RELEASE = "release"
    REVOKE = "revoke"


TRANSITIONS = {
    (CertificateState.INTENDED, LifecycleStep.ISSUE): CertificateState.VALID,
    (CertificateState.VALID, LifecycleStep.REVOKE): CertificateState.REVOKED,
    (CertificateState.VALID, LifecycleStep.HOLD): CertificateState.ON_HOLD,
    (CertificateState.ON_HOLD, LifecycleStep.RELEASE): CertificateState.VALID,
    (CertificateState.ON_HOLD, LifecycleStep.REVOKE): CertificateState.REVOKED,
}
"""Every step there is; what is not here is refused. Nothing leads out of revoked."""

LISTED_STATES = frozenset({CertificateState.REVOKED, CertificateState.ON_HOLD})
"""What revocation lists name."""

_HINTS = {
    CertificateState.INTENDED: "it was never issued; nobody holds it",
    CertificateState.VALID: "it is valid: hold it or revoke it",
    CertificateState.ON_HOLD: "it is on hold: release it or revoke it",
    CertificateState.REVOKED: "revocation is final; issue a new certificate",
}
_NEVER = frozenset({RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE})
"""The inventory holds no certificate of a CA, and Doorward issues no attribute certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An allowed step; `reason` is what a CRL will say, None where it says nothing."""

    before: CertificateState
    after: CertificateState
    reason: RevocationReason | None


def list_reasons() -> tuple[RevocationReason, ...]:
    """Return the reasons with which a certificate may be revoked, in the order of the standard.

    Standard: RFC 5280 section 5.3.1.
    """
    refused = _NEVER | {RevocationReason.CERTIFICATE_HOLD}
    return tuple(reason for reason in RevocationReason if reason not in refused)


def check_transition(
    state: CertificateState, step: LifecycleStep, reason: RevocationReason | None = None
) -> Transition:
    """Return the transition that a step makes from a state.

    Args:
        state: where the certificate stands.
        step: what is asked for.
        reason: only with a revocation (unspecified where None); a hold always has certificate-hold.

    Raises:
        RequestRefused: `transition-refused`, `reason-refused`.

    Standard: RFC 5280 section 5.3.1.
    """
    after = TRANSITIONS.get((state, step))
    if after is None:
        detail = f"a certificate that is {state.value} cannot take the step {step.value}"
        raise RequestRefused("transition-refused", detail, hint=_HINTS[state])
    return Transition(before=state, after=after, reason=_choose_reason(step, reason))


def _choose_reason(step: LifecycleStep, reason: RevocationReason | None) -> RevocationReason | None:
    """Return the reason that is recorded with a step, or refuse one that does not go with it."""
    hold = RevocationReason.CERTIFICATE_HOLD
    wanted: RevocationReason | None = None
    match step:
        case LifecycleStep.HOLD:
            wanted = hold
            allowed = reason in {None, hold}
            hint = "a hold has no other reason; to give one, revoke"
        case LifecycleStep.REVOKE:
            wanted = reason or RevocationReason.UNSPECIFIED
            allowed = wanted in list_reasons()
            hint = "choose another reason; to suspend a certificate, hold it"
        case _:
            allowed = reason is None
            hint = "only a revocation has a reason"
    if not allowed:
        raise RequestRefused("reason-refused", f"the step {step.value} cannot have this reason", hint=hint)
    return wanted
