"""The life of a certificate: which step leads from which state to which, and when it should be renewed.

Not here: storing the state and its event (authority.issuing, in one transaction). Expiry is not a state.

    intended --issue--> valid --revoke--> revoked
                        |   ^               ^
                      hold  release         |
                        v   |               |
                       on-hold ----revoke---+

Standard: RFC 5280 section 5.3.1 (reasons; a hold is the only revocation that can be undone).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused
from doorward.core.spread import fraction_of


class LifecycleStep(Enum):
    """A step that changes the state of a certificate."""

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
"""All allowed steps; any other is refused. No step leads out of revoked."""

LISTED_STATES = frozenset({CertificateState.REVOKED, CertificateState.ON_HOLD})
"""The states of certificates that a CRL lists."""

RENEW_AFTER = 2 / 3
"""The part of its life after which a certificate is renewed, as certbot and most ACME clients do."""

SPREAD = 1 / 10
"""Renewals are spread over so much of the last third, before and after two thirds: certificates that were issued at the
same time must not all be renewed at the same time."""

LATEST = 9 / 10
"""No renewal is planned after this part of the life: an attempt must be able to fail and be repeated."""


_HINTS = {
    CertificateState.INTENDED: "it was never issued, so there is nothing to hold or revoke",
    CertificateState.VALID: "it is valid: it can be put on hold or revoked",
    CertificateState.ON_HOLD: "it is on hold: it can be released or revoked",
    CertificateState.REVOKED: "revocation is final: issue a new certificate",
}
_NEVER = frozenset({RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE})
"""The inventory holds no CA certificates, and Doorward issues no attribute certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An allowed step; `reason` is the reason in the CRL, None if the certificate is not in it."""

    before: CertificateState
    after: CertificateState
    reason: RevocationReason | None


def list_reasons() -> tuple[RevocationReason, ...]:
    """Return the reasons for which a certificate may be revoked, in the order of the standard.

    Standard: RFC 5280 section 5.3.1.
    """
    refused = _NEVER | {RevocationReason.CERTIFICATE_HOLD}
    return tuple(reason for reason in RevocationReason if reason not in refused)


def check_transition(
    state: CertificateState, step: LifecycleStep, reason: RevocationReason | None = None
) -> Transition:
    """Return the transition that a step makes from a state.

    Args:
        state: of the certificate.
        step: to be made.
        reason: only for a revocation (None means unspecified); a hold always has certificate-hold.

    Raises:
        RequestRefused: `transition-refused`, `reason-refused`.

    Standard: RFC 5280 section 5.3.1.
    """
    after = TRANSITIONS.get((state, step))
    if after is None:
        detail = f"the step {step.value} is not possible for a certificate in the state {state.value}"
        raise RequestRefused("transition-refused", detail, hint=_HINTS[state])
    return Transition(before=state, after=after, reason=_choose_reason(step, reason))


def _choose_reason(step: LifecycleStep, reason: RevocationReason | None) -> RevocationReason | None:
    """Return the reason that is recorded with a step, or refuse a reason that does not belong to it."""
    hold = RevocationReason.CERTIFICATE_HOLD
    wanted: RevocationReason | None = None
    match step:
        case LifecycleStep.HOLD:
            wanted = hold
            allowed = reason in {None, hold}
            hint = "give no reason for a hold, or revoke the certificate with this reason"
        case LifecycleStep.REVOKE:
            wanted = reason or RevocationReason.UNSPECIFIED
            allowed = wanted in list_reasons()
            hint = "choose another reason; to suspend a certificate, put it on hold"
        case _:
            allowed = reason is None
            hint = "leave the reason out: only a revocation has one"
    if not allowed:
        raise RequestRefused("reason-refused", f"the step {step.value} cannot have this reason", hint=hint)
    return wanted


def renewal_time(not_before: datetime, not_after: datetime, key: str) -> datetime:
    """Return when a certificate should be renewed: at two thirds of its life, a little earlier or later by its key.

    The same arguments give the same time in every process and on every machine. The difference is at most a tenth of the
    last third of the life: six days for 90 days, four minutes for one hour.

    Args:
        not_before: the begin, aware. Its backdating counts as life.
        not_after: the end, aware; for a chain, the earliest end in it.
        key: what spreads the renewals, for instance the certificate's SHA-256; any text.

    Returns:
        UTC, in whole seconds, within the life and never after nine tenths of it; the begin if the life is empty.

    Raises:
        ValueError: a date has no time zone.
    """
    if not_before.tzinfo is None or not_after.tzinfo is None:
        raise ValueError("a certificate's dates need a time zone")
    begin, life = not_before.astimezone(UTC), not_after - not_before
    if not_after <= not_before:
        return begin.replace(microsecond=0)
    part = RENEW_AFTER + (1 - RENEW_AFTER) * SPREAD * (2 * fraction_of(key) - 1)
    return max(begin, (begin + life * min(part, LATEST)).replace(microsecond=0))
