"""The judgement of a certificate that Doorward issued, in numbered steps.

A certificate is let in only if all steps pass. Every step that can be judged is judged, so that the verdict has
all reasons:

1. the certificate is present, well-formed and within the limits;
2. its issuer is one of our own issuing CAs;
3. exactly this certificate (SHA-256 of its DER) is in the inventory, and its state is valid;
5. now is within its dates, and it is for TLS clients;
7. its only URI SAN names the principal that the inventory says it was issued to, in our trust domain;
8. that principal is active.

Steps 4 (path) and 6 (CRL and OCSP evidence) exist only for certificates of partners, which are not judged
here. No signature is verified: a certificate that is in the inventory byte for byte was signed by us.

Not here: reading the inventory and the directory (the caller passes a `VerificationContext`), the proof that the
peer holds the private key (TLS gives it), policy.
Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.6 and 4.2.1.12; see docs/standards.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from doorward.core.certificate import CertificateFacts, CertificateState
from doorward.core.entities import Outcome, Principal, Reason, Verdict
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.identity import is_named
from doorward.verification.parsing import ParsedCertificate, parse_certificate
from doorward.verification.steps import (
    CertificateJudgement,
    PresentedCertificate,
    conclude,
    judge_account,
    judge_dates,
    judge_purpose,
    judge_state,
    list_evidence,
    read_leaf,
    refuse_unread,
)
from doorward.verification.validity import ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCertificate:
    """One row of the inventory. `issuer_sha256` is of the issuing CA's DER; empty if it was not recorded."""

    sha256: str
    state: CertificateState
    principal_id: str
    profile: str
    not_before: datetime
    not_after: datetime
    issuer_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssuer:
    """One of our own issuing CAs: the SHA-256 of its DER, and its id."""

    sha256: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationContext:
    """What the judge needs from the database; the caller looks it up in one consistent read.

    Args:
        certificate: the row of the inventory for the SHA-256 of the presented certificate, or None.
        principal: the row of the directory for that certificate's principal, or None.
        issuers: subject name (DER) of each own issuing CA, retired ones included -> the CA.
        trust_domain: ours, lower case.
    """

    certificate: KnownCertificate | None
    principal: Principal | None
    issuers: Mapping[bytes, KnownIssuer] = field(hash=False)
    trust_domain: str


def judge_certificate(
    presented: PresentedCertificate,
    context: VerificationContext,
    now: datetime,
    *,
    certificate_cache: CertificateCache | None = None,
) -> CertificateJudgement:
    """Judge one presented certificate.

    Args:
        presented: the leaf, DER, at most 16 KiB.
        context: see `VerificationContext`.
        now: aware, UTC.
        certificate_cache: parsed certificates, never verdicts; None parses each time.

    Returns:
        A judgement with a good or bad verdict, and the reasons in the order of the steps.

    Not checked: path, CRL and OCSP (partners only), possession of the private key, policy.
    Standard: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.6 and 4.2.1.12.
    """
    # 1. well-formed
    parsed = read_leaf(
        presented, certificate_cache.parse if certificate_cache is not None else parse_certificate
    )
    if isinstance(parsed, Reason):
        return CertificateJudgement(verdict=refuse_unread(parsed, now))
    reasons = [Reason.CERTIFICATE_WELL_FORMED]
    known = _find_known(parsed, context)
    # 2. issuer
    reasons.append(_judge_issuer(parsed, known, context.issuers))
    # 3. inventory
    reasons += [] if known is None else [Reason.CERTIFICATE_KNOWN]
    reasons.append(judge_state(None if known is None else known.state))
    # 5. dates and purpose
    not_before, not_after = _find_dates(parsed.facts, known)
    reasons.append(judge_dates(not_before, not_after, now))
    reasons.append(judge_purpose(parsed))
    # 7. name
    reasons.append(_judge_name(parsed, known, context))
    # 8. account
    reasons.append(judge_account(None if known is None else context.principal))
    outcome = conclude(reasons)
    more = [("principal", known.principal_id), ("profile", known.profile)] if known is not None else []
    verdict = Verdict(
        outcome=outcome,
        reasons=tuple(reasons),
        judged_at=now,
        evidence=list_evidence(parsed.facts, *more),
    )
    good = outcome is Outcome.GOOD
    principal = context.principal if good else None
    content = parsed.content if good else None
    return CertificateJudgement(
        verdict=verdict, principal=principal, facts=parsed.facts, content=content, ends=ends_at(not_after)
    )


def _find_known(parsed: ParsedCertificate, context: VerificationContext) -> KnownCertificate | None:
    """Return the row only if it is about exactly these bytes: a wrong look-up must not approve another certificate."""
    row = context.certificate
    return row if row is not None and row.sha256 == parsed.facts.sha256 else None


def _judge_issuer(
    parsed: ParsedCertificate, known: KnownCertificate | None, issuers: Mapping[bytes, KnownIssuer]
) -> Reason:
    """Step 2: one of our issuing CAs has the issuer's name, and the inventory does not record another issuer."""
    issuer = issuers.get(parsed.issuer_der)
    if issuer is None:
        return Reason.ISSUER_UNKNOWN
    if known is not None and known.issuer_sha256 and known.issuer_sha256 != issuer.sha256:
        return Reason.ISSUER_UNKNOWN
    return Reason.ISSUER_KNOWN


def _find_dates(facts: CertificateFacts, known: KnownCertificate | None) -> tuple[datetime, datetime]:
    """Step 5: if the inventory has narrower dates than the certificate, they apply too."""
    if known is None:
        return facts.not_before, facts.not_after
    return max(facts.not_before, known.not_before), min(facts.not_after, known.not_after)


def _judge_name(
    parsed: ParsedCertificate, known: KnownCertificate | None, context: VerificationContext
) -> Reason:
    """Step 7: certificate, inventory and directory name the same principal."""
    principal = context.principal
    if principal is None or known is None or known.principal_id != principal.id:
        return Reason.NAME_MISMATCH
    named = is_named(parsed.uris, principal, context.trust_domain)
    return Reason.NAME_MATCHES if named else Reason.NAME_MISMATCH
