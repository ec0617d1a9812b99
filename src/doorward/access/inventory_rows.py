"""A row of the inventory as the checker reads it, and as rules see it once the certificate was found good.

Not here: judging (`deciding`).
"""

from __future__ import annotations

from doorward.core.certificate import VerifiedCertificate
from doorward.stores.records import CertificateRecord
from doorward.verification.partner import PartnerJudgement
from doorward.verification.steps import CertificateJudgement
from doorward.verification.verifier import KnownCertificate


def describe_known(record: CertificateRecord, issuer_sha256: str) -> KnownCertificate:
    """Return the row as the checker reads it; `issuer_sha256` is empty for an authority that is not our own."""
    return KnownCertificate(
        sha256=record.sha256,
        state=record.state,
        principal_id=record.principal_id,
        profile=record.profile,
        not_before=record.not_before,
        not_after=record.not_after,
        issuer_sha256=issuer_sha256,
    )


def describe_verified(
    record: CertificateRecord | None, found: CertificateJudgement
) -> VerifiedCertificate | None:
    """Return what rules see of a certificate that was found good: of a partner's path, or of our own inventory."""
    if record is None or found.content is None:
        return None
    if isinstance(found, PartnerJudgement):
        return VerifiedCertificate(issuers=found.issuers, profile="", content=found.content)
    issuers = frozenset({record.authority_id})
    return VerifiedCertificate(issuers=issuers, profile=record.profile, content=found.content)
