"""A certificate of the inventory, as the verifier reads it, and as rules see it after it was judged good.

Not here: judging (`deciding`).
"""

from __future__ import annotations

from doorward.core.certificate import VerifiedCertificate
from doorward.stores.records import CertificateRecord
from doorward.verification.partner import PartnerJudgement
from doorward.verification.steps import CertificateJudgement
from doorward.verification.verifier import KnownCertificate


def describe_known(record: CertificateRecord, issuer_sha256: str) -> KnownCertificate:
    """Return the row for the verifier; `issuer_sha256` is empty if the issuer is not our own authority."""
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
    """Return the facts that rules see of a good certificate, from a partner's path or from our own inventory."""
    if record is None or found.content is None:
        return None
    if isinstance(found, PartnerJudgement):
        return VerifiedCertificate(issuers=found.issuers, profile="", content=found.content)
    issuers = frozenset({record.authority_id})
    return VerifiedCertificate(issuers=issuers, profile=record.profile, content=found.content)
