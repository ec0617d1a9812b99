"""The steps that the judges of our own and of partners' certificates share.

1. `read_leaf`: the certificate is present, well-formed and within the limits; `refuse_unread`: nothing more to judge;
3. `judge_state`: it is in the inventory, and in which state;
5. `judge_dates` and `judge_purpose`: now is within its dates, and it is for TLS clients;
8. `judge_account`: the state of its principal.
At the end `conclude` derives the outcome from the reasons, and `list_evidence` lists what the record keeps.

Not here: the order of the steps, and steps that only one judge has (verifier, partner).
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.9 and 4.2.1.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.certificate import CertificateContent, CertificateFacts, CertificateState
from doorward.core.entities import Outcome, Principal, PrincipalState, Reason, Verdict
from doorward.core.errors import MalformedInput
from doorward.verification.parsing import ParsedCertificate
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.validity import has_begun, has_ended

_T = TypeVar("_T")

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
_STATES = {
    CertificateState.VALID: Reason.CERTIFICATE_VALID,
    CertificateState.INTENDED: Reason.CERTIFICATE_INTENDED,
    CertificateState.ON_HOLD: Reason.CERTIFICATE_ON_HOLD,
    CertificateState.REVOKED: Reason.CERTIFICATE_REVOKED,
}
_PRINCIPAL_STATES = {
    PrincipalState.ACTIVE: Reason.PRINCIPAL_ACTIVE,
    PrincipalState.SUSPENDED: Reason.PRINCIPAL_SUSPENDED,
    PrincipalState.REMOVED: Reason.PRINCIPAL_REMOVED,
}
GOOD_REASONS = frozenset(
    {
        Reason.CERTIFICATE_WELL_FORMED,
        Reason.ISSUER_KNOWN,
        Reason.CERTIFICATE_KNOWN,
        Reason.CERTIFICATE_VALID,
        Reason.PATH_VALID,
        Reason.CERTIFICATE_IN_TIME,
        Reason.PURPOSE_CLIENT,
        Reason.REVOCATION_STATUS_GOOD,
        Reason.REVOCATION_NOT_PROVIDED,
        Reason.REVOCATION_STATUS_TOLERATED,
        Reason.REVOCATION_NOT_CHECKED,
        Reason.NAME_MATCHES,
        Reason.PRINCIPAL_ACTIVE,
    }
)
"""Every other reason is against a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
    """The peer's leaf certificate in DER, or None if the peer presented none."""

    der: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateJudgement:
    """The result of both judges.

    Args:
        verdict: the verdict with all reasons, in the order of the steps.
        principal: the holder; only if the verdict is good.
        facts: the facts of the leaf, if it could be parsed.
        content: what rules may ask about it; only if the verdict is good.
        ends: when the certificate must be judged again at the latest, because a certificate or necessary evidence
            expires; None if nothing that expires was found.
    """

    verdict: Verdict
    principal: Principal | None = None
    facts: CertificateFacts | None = None
    content: CertificateContent | None = None
    ends: datetime | None = None


def read_leaf(presented: PresentedCertificate, parse: Callable[[bytes], _T]) -> _T | Reason:
    """Return the content of the leaf, or the reason why it cannot be read."""
    if presented.der is None:
        return Reason.CERTIFICATE_MISSING
    try:
        return parse(presented.der)
    except MalformedInput:
        return Reason.CERTIFICATE_MALFORMED


def refuse_unread(reason: Reason, now: datetime) -> Verdict:
    """Return the refusal of a certificate that could not be read."""
    return Verdict(outcome=Outcome.BAD, reasons=(reason,), judged_at=now)


def judge_state(state: CertificateState | None) -> Reason:
    """Return the state of exactly this certificate in the inventory; None means that the inventory does not contain it."""
    return Reason.CERTIFICATE_UNKNOWN if state is None else _STATES[state]


def judge_dates(not_before: datetime, not_after: datetime, now: datetime) -> Reason:
    """Return whether now is within the dates, both ends included."""
    if has_ended(not_after, now):
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_IN_TIME if has_begun(not_before, now) else Reason.CERTIFICATE_NOT_YET_VALID


def judge_purpose(leaf: ParsedCertificate | PathCertificate) -> Reason:
    """Return whether it is for TLS clients: names clientAuth (any is not enough), may sign, is not a CA."""
    client = leaf.purposes is not None and _CLIENT in leaf.purposes
    return Reason.PURPOSE_CLIENT if client and leaf.signs and not leaf.is_ca else Reason.PURPOSE_WRONG


def judge_account(principal: Principal | None) -> Reason:
    """Return the state of the principal; None means that the directory has no principal for this certificate."""
    return Reason.PRINCIPAL_UNKNOWN if principal is None else _PRINCIPAL_STATES[principal.state]


def conclude(reasons: Iterable[Reason]) -> Outcome:
    """Return the outcome; undetermined only if the unknown revocation status is the only reason against it."""
    against = [reason for reason in reasons if reason not in GOOD_REASONS]
    if against == [Reason.REVOCATION_STATUS_UNDETERMINED]:
        return Outcome.UNDETERMINED
    return Outcome.BAD if against else Outcome.GOOD


def list_evidence(facts: CertificateFacts, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the record keeps of a judgement: the leaf, then what the judge adds."""
    return (
        ("certificate", facts.sha256),
        ("serial", format(facts.serial, "x")),
        ("issuer", facts.issuer),
        *more,
    )
