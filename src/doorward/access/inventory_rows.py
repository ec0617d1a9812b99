"""A row of the inventory as the checker reads it, and as rules see it once the certificate was found good.

Not here: judging (`deciding`).
"""

from __future__ import annotations

from doorward.core.certificate import VerifiedCertificate
from doorward.partners.judging import PartnerFinding
from doorward.stores.records import CertificateRecord
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


def describe_verified(record: CertificateRecord | None, found: PartnerFinding) -> VerifiedCertificate | None:
    """Return what rules see of a certificate that was found good: of a partner's path, or of our own inventory."""
    content = found.judgement.content
    if record is None or content is None:
        return None
    own = not found.partner_id
    issuers = frozenset({record.authority_id}) if own else found.issuers
    return VerifiedCertificate(issuers=issuers, profile=record.profile if own else "", content=content)
