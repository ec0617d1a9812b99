"""The judgement of a certificate that Doorward itself issued, in numbered steps.

To let a certificate in, all of these must hold, and every one that can be judged is judged, so that
the verdict carries every reason:

1. it is there, well-formed and within the limits;
2. its issuer is one of our own issuing CAs;
3. this very certificate (SHA-256 of its DER) is in the inventory, and its state is valid;
5. now lies within its dates, and it is made for TLS clients;
7. its one URI SAN names the principal that the inventory says it was issued to, in our trust domain;
8. that principal is active.

Steps 4 (path) and 6 (CRL and OCSP evidence) belong to certificates of partners, which are not judged
here. No signature is verified: what we signed and find byte for byte in the inventory is ours.

Not here: reading the inventory and the directory (the caller brings `Knowledge`), the proof that the
peer holds the private key (TLS gives it), policy.
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.6 and 4.2.1.12; see docs/standards.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.certificate import CertificateContent, CertificateFacts, CertificateState
from doorward.core.entities import Outcome, Principal, PrincipalState, Reason, Verdict
from doorward.core.errors import MalformedInput
from doorward.verification.identity import is_named
from doorward.verification.leaves import RecentLeaves
from doorward.verification.parsing import ParsedCertificate, parse_certificate
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.validity import has_begun, has_ended

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
_STATES = {
    CertificateState.VALID: Reason.CERTIFICATE_VALID,
    CertificateState.INTENDED: Reason.CERTIFICATE_INTENDED,
    CertificateState.ON_HOLD: Reason.CERTIFICATE_ON_HOLD,
    CertificateState.REVOKED: Reason.CERTIFICATE_REVOKED,
}
PRINCIPAL_STATES = {
    PrincipalState.ACTIVE: Reason.PRINCIPAL_ACTIVE,
    PrincipalState.SUSPENDED: Reason.PRINCIPAL_SUSPENDED,
    PrincipalState.REMOVED: Reason.PRINCIPAL_REMOVED,
}
_GOOD = frozenset(
    {
        Reason.CERTIFICATE_WELL_FORMED,
        Reason.ISSUER_KNOWN,
        Reason.CERTIFICATE_KNOWN,
        Reason.CERTIFICATE_VALID,
        Reason.CERTIFICATE_IN_TIME,
        Reason.PURPOSE_CLIENT,
        Reason.NAME_MATCHES,
        Reason.PRINCIPAL_ACTIVE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What the peer showed: one leaf certificate in DER, or None where it showed none."""

    der: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCertificate:
    """One row of the inventory. `issuer_sha256` is of the issuing CA's DER; empty where not recorded."""

    sha256: str
    state: CertificateState
    principal_id: str
    profile: str
    not_before: datetime
    not_after: datetime
    issuer_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssuer:
    """One of our own issuing CAs: the SHA-256 of its DER and its id."""

    sha256: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What we know when we judge, looked up by the caller in one consistent read.

    Args:
        certificate: the inventory's row for the SHA-256 of what was presented, or None.
        principal: the directory's row for that certificate's principal, or None.
        issuers: subject name (DER) of each own issuing CA, retired ones included -> what it is.
        trust_domain: ours, lower case.
    """

    certificate: KnownCertificate | None
    principal: Principal | None
    issuers: Mapping[bytes, KnownIssuer] = field(hash=False)
    trust_domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateJudgement:
    """The verdict; `principal` and `content` are set only when it is good, `facts` whenever the bytes parsed."""

    verdict: Verdict
    principal: Principal | None
    facts: CertificateFacts | None
    content: CertificateContent | None = None


def judge_certificate(
    presented: Presented, knowledge: Knowledge, now: datetime, *, leaves: RecentLeaves | None = None
) -> CertificateJudgement:
    """Judge one presented certificate.

    Args:
        presented: the leaf, DER, at most 16 KiB.
        knowledge: see `Knowledge`.
        now: aware, UTC.
        leaves: a memory of readings, never of verdicts; None reads anew.

    Returns:
        A judgement whose verdict is good or bad, with the reasons in the order of the steps.

    Not checked: path, CRL and OCSP (partners only), possession of the private key, policy.
    Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.6 and 4.2.1.12.
    """
    # 1. well-formed
    if presented.der is None:
        return _refuse_unread(Reason.CERTIFICATE_MISSING, now)
    try:
        parsed = (leaves.parse if leaves is not None else parse_certificate)(presented.der)
    except MalformedInput:
        return _refuse_unread(Reason.CERTIFICATE_MALFORMED, now)
    reasons = [Reason.CERTIFICATE_WELL_FORMED]
    known = _find_known(parsed, knowledge)
    # 2. issuer
    reasons.append(_judge_issuer(parsed, known, knowledge.issuers))
    # 3. inventory
    reasons += _judge_record(known)
    # 5. dates and purpose
    reasons.append(_judge_dates(parsed, known, now))
    reasons.append(judge_purpose(parsed))
    # 7. name
    reasons.append(_judge_name(parsed, known, knowledge))
    # 8. account
    reasons.append(_judge_account(known, knowledge.principal))
    good = all(reason in _GOOD for reason in reasons)
    verdict = Verdict(
        outcome=Outcome.GOOD if good else Outcome.BAD,
        reasons=tuple(reasons),
        judged_at=now,
        evidence=_list_evidence(parsed, known),
    )
    principal = knowledge.principal if good else None
    content = parsed.content if good else None
    return CertificateJudgement(verdict=verdict, principal=principal, facts=parsed.facts, content=content)


def _refuse_unread(reason: Reason, now: datetime) -> CertificateJudgement:
    """Return the refusal of something that could not be read at all."""
    verdict = Verdict(outcome=Outcome.BAD, reasons=(reason,), judged_at=now)
    return CertificateJudgement(verdict=verdict, principal=None, facts=None)


def _find_known(parsed: ParsedCertificate, knowledge: Knowledge) -> KnownCertificate | None:
    """Return the row only if it is of these very bytes: a wrong look-up must not vouch for another."""
    row = knowledge.certificate
    return row if row is not None and row.sha256 == parsed.facts.sha256 else None


def _judge_issuer(
    parsed: ParsedCertificate, known: KnownCertificate | None, issuers: Mapping[bytes, KnownIssuer]
) -> Reason:
    """Step 2: an own issuing CA bears the issuer's name, and the inventory does not name another."""
    issuer = issuers.get(parsed.issuer_der)
    if issuer is None:
        return Reason.ISSUER_UNKNOWN
    if known is not None and known.issuer_sha256 and known.issuer_sha256 != issuer.sha256:
        return Reason.ISSUER_UNKNOWN
    return Reason.ISSUER_KNOWN


def _judge_record(known: KnownCertificate | None) -> list[Reason]:
    """Step 3: byte for byte in the inventory, and its state."""
    if known is None:
        return [Reason.CERTIFICATE_UNKNOWN]
    return [Reason.CERTIFICATE_KNOWN, _STATES[known.state]]


def _judge_dates(parsed: ParsedCertificate, known: KnownCertificate | None, now: datetime) -> Reason:
    """Step 5: both ends included (4.1.2.5); where the inventory is narrower, it holds too."""
    not_before, not_after = parsed.facts.not_before, parsed.facts.not_after
    if known is not None:
        not_before, not_after = max(not_before, known.not_before), min(not_after, known.not_after)
    return judge_dates(not_before, not_after, now)


def judge_dates(not_before: datetime, not_after: datetime, now: datetime) -> Reason:
    """Step 5: both ends included; one function for our own and for partners' certificates."""
    if has_ended(not_after, now):
        return Reason.CERTIFICATE_EXPIRED
    return Reason.CERTIFICATE_IN_TIME if has_begun(not_before, now) else Reason.CERTIFICATE_NOT_YET_VALID


def judge_purpose(leaf: ParsedCertificate | PathCertificate) -> Reason:
    """Step 5: clientAuth by name (anyExtendedKeyUsage is not enough), may sign, is no CA."""
    client = leaf.purposes is not None and _CLIENT in leaf.purposes
    return Reason.PURPOSE_CLIENT if client and leaf.signs and not leaf.is_ca else Reason.PURPOSE_WRONG


def _judge_name(parsed: ParsedCertificate, known: KnownCertificate | None, knowledge: Knowledge) -> Reason:
    """Step 7: certificate, inventory and directory agree on one principal."""
    principal = knowledge.principal
    if principal is None or known is None or known.principal_id != principal.id:
        return Reason.NAME_MISMATCH
    named = is_named(parsed.uris, principal, knowledge.trust_domain)
    return Reason.NAME_MATCHES if named else Reason.NAME_MISMATCH


def _judge_account(known: KnownCertificate | None, principal: Principal | None) -> Reason:
    """Step 8: the principal's state; without a row in the inventory there is no principal to speak of."""
    if known is None or principal is None:
        return Reason.PRINCIPAL_UNKNOWN
    return PRINCIPAL_STATES[principal.state]


def _list_evidence(parsed: ParsedCertificate, known: KnownCertificate | None) -> tuple[tuple[str, str], ...]:
    """Return what the record should keep of the judgement."""
    facts = parsed.facts
    evidence = [
        ("certificate", facts.sha256),
        ("serial", format(facts.serial, "x")),
        ("issuer", facts.issuer),
    ]
    if known is not None:
        evidence += [("principal", known.principal_id), ("profile", known.profile)]
    return tuple(evidence)
