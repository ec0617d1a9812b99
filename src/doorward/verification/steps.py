"""The steps that are the same whoever issued a certificate: both judges take them from here.

1. `read_leaf`: it is there, well-formed and within the limits; `refuse_unread`: there is nothing more to judge;
3. `judge_state`: it is in the inventory, and in which state;
5. `judge_dates` and `judge_purpose`: now lies within its dates, and it is made for TLS clients;
8. `judge_account`: the state of its principal.
At the end `conclude` says what the reasons come to, and `list_evidence` what the record keeps.

Not here: the order of the steps, and those that one judge takes alone (verifier, partner).
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
        Reason.REVOCATION_STATUS_TOLERATED,
        Reason.REVOCATION_NOT_CHECKED,
        Reason.NAME_MATCHES,
        Reason.PRINCIPAL_ACTIVE,
    }
)
"""Every other reason stands against a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
    """What the peer showed: one leaf certificate in DER, or None where it showed none."""

    der: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateJudgement:
    """What came out, whichever judge was asked.

    Args:
        verdict: with every reason, in the order of the steps.
        principal: only where the verdict is good.
        facts: of the leaf, whenever the bytes parsed.
        content: what rules may ask of it; only where the verdict is good.
        ends: when it is to be judged anew at the latest, because a certificate ends, or evidence without which it
            is not let in; None where nothing was found that could end.
    """

    verdict: Verdict
    principal: Principal | None = None
    facts: CertificateFacts | None = None
    content: CertificateContent | None = None
    ends: datetime | None = None


def read_leaf(presented: PresentedCertificate, parse: Callable[[bytes], _T]) -> _T | Reason:
    """Return what the leaf says, or why it cannot be read."""
    if presented.der is None:
        return Reason.CERTIFICATE_MISSING
    try:
        return parse(presented.der)
    except MalformedInput:
        return Reason.CERTIFICATE_MALFORMED


def refuse_unread(reason: Reason, now: datetime) -> Verdict:
    """Return the refusal of something that could not be read at all."""
    return Verdict(outcome=Outcome.BAD, reasons=(reason,), judged_at=now)


def judge_state(state: CertificateState | None) -> Reason:
    """Return what the inventory says of this very certificate; None where it has no row of it."""
    return Reason.CERTIFICATE_UNKNOWN if state is None else _STATES[state]


def judge_dates(not_before: datetime, not_after: datetime, now: datetime) -> Reason:
    """Return whether now lies within the dates, both ends included."""
    if has_ended(not_after, now):
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_IN_TIME if has_begun(not_before, now) else Reason.CERTIFICATE_NOT_YET_VALID


def judge_purpose(leaf: ParsedCertificate | PathCertificate) -> Reason:
    """Return whether it is for TLS clients: clientAuth by name (any is not enough), may sign, is no CA."""
    client = leaf.purposes is not None and _CLIENT in leaf.purposes
    return Reason.PURPOSE_CLIENT if client and leaf.signs and not leaf.is_ca else Reason.PURPOSE_WRONG


def judge_account(principal: Principal | None) -> Reason:
    """Return the state of the principal; None where the directory has none for this certificate."""
    return Reason.PRINCIPAL_UNKNOWN if principal is None else _PRINCIPAL_STATES[principal.state]


def conclude(reasons: Iterable[Reason]) -> Outcome:
    """Return what the reasons come to: undetermined only where nothing but the unknown status stands against it."""
    against = [reason for reason in reasons if reason not in GOOD_REASONS]
    if against == [Reason.REVOCATION_STATUS_UNDETERMINED]:
        return Outcome.UNDETERMINED
    return Outcome.BAD if against else Outcome.GOOD


def list_evidence(facts: CertificateFacts, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the record should keep of a judgement: whose leaf it was, then what the judge adds."""
    return (
        ("certificate", facts.sha256),
        ("serial", format(facts.serial, "x")),
        ("issuer", facts.issuer),
        *more,
    )
