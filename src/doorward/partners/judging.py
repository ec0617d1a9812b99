"""Judging a partner's certificate on one snapshot: supplies the checker with principals and evidence.

Not here: the steps of the check (`verification.partner`), policy and events (`access`).

A partner's certificate is added to our inventory when its path is good for the first time. After that it can be
listed and revoked here, and evidence may be fetched for it. So a judgement may return a
`PendingRegistration`; after it was recorded (`registration`), the certificate is judged again.

A certificate is identified by issuer and serial number, not by its digest. The holder of a certificate with an ECDSA
signature can encode that signature in another way, and so make a second valid file with another digest. Only the first
file that came is accepted. Another file with the same issuer and serial number is refused; otherwise a certificate that
was revoked here could come back as another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.core.certificate import CertificateFacts
from doorward.core.entities import Outcome, Principal, Reason
from doorward.core.names import render_partner_principal_name
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.partner_records import PartnerRecord, in_partners_groups
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.partner import (
    PartnerJudgement,
    PartnerTrust,
    judge_partner_certificate,
)
from doorward.verification.steps import GOOD_REASONS, PresentedCertificate, judge_state


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRegistration:
    """The records that are needed before a partner's certificate can be admitted.

    Args:
        partner: the partner, with the terms by which the certificate was judged.
        authority_id: the id of the authority that issued it.
        facts: of the certificate; its path was good.
        identity: of the principal to add to the directory; None if none is added.
        principal_id: the holder; empty if not known yet.
    """

    partner: PartnerRecord
    authority_id: str
    facts: CertificateFacts
    identity: str | None
    principal_id: str


def judge_for_partners(
    stores: Stores,
    presented: PresentedCertificate,
    record: CertificateRecord | None,
    *,
    partners: Sequence[PartnerTrust],
    evidence_cache: EvidenceCache,
    now: datetime,
    trust_domain: str,
    certificate_cache: CertificateCache | None = None,
) -> tuple[PartnerJudgement, PendingRegistration | None]:
    """Judge a certificate that none of our own authorities issued.

    Args:
        stores: a snapshot.
        presented: the leaf.
        record: its record in the inventory, if there is one.
        partners: those that the application trusts.
        evidence_cache: the loaded evidence.
        now: aware, UTC.
        trust_domain: ours.
        certificate_cache: readings of certificates that are in the inventory.

    Returns:
        The judgement, with the partner's groups added to the principal; and what to record before the certificate is
        judged again, or None.
    """
    indexes = {one.id: evidence_cache.of(one.id) for one in partners}  # read once each, because it may change

    def find_principal(trust: PartnerTrust, identity: str) -> Principal | None:
        principal = stores.directory.by_name(render_partner_principal_name(trust.name, identity))
        if principal is None or principal.partner != trust.id:
            return None
        return in_partners_groups(stores.directory, principal, trust.groups)

    cache = certificate_cache if record is not None else None
    found = judge_partner_certificate(
        presented, partners, indexes, find_principal, now, trust_domain=trust_domain, certificate_cache=cache
    )
    if found.partner is None:
        return found, None
    if record is None and _is_serial_used(stores, found.issuer_ids, found.path[0].serial):
        return _refuse_by_state(found, Reason.SERIAL_NOT_UNIQUE), None
    state = judge_state(None if record is None else record.state)
    return _refuse_by_state(found, state), _find_registration(stores, found, found.partner, record)


def _is_serial_used(stores: Stores, authority_ids: Sequence[str], serial: int) -> bool:
    """Return whether one of these authorities, which share name and key, has issued this serial number before."""
    return any(stores.certificates.by_serial(one, serial) is not None for one in authority_ids)


def _refuse_by_state(found: PartnerJudgement, reason: Reason) -> PartnerJudgement:
    """Refuse a certificate that was revoked or held here, or is not recorded yet, even if its evidence is good."""
    if reason in GOOD_REASONS:
        return found
    reasons = dict.fromkeys((*found.verdict.reasons, reason))
    verdict = replace(found.verdict, outcome=Outcome.BAD, reasons=tuple(reasons))
    return replace(found, verdict=verdict, principal=None, content=None)


def _find_registration(
    stores: Stores, found: PartnerJudgement, partner: PartnerTrust, record: CertificateRecord | None
) -> PendingRegistration | None:
    """Return the records to write; None if there are none, so that a repeated connection costs no write."""
    reasons, facts = found.verdict.reasons, found.facts
    if Reason.PURPOSE_CLIENT not in reasons or facts is None:
        return None
    principal_id = found.principal.id if found.principal is not None else ""
    unrecorded = (
        record is None
        or record.authority_id
        != found.authority_id  # renewed, or of a partner that was removed and imported again
        or (principal_id and record.principal_id != principal_id)
    )
    unknown = found.identity is not None and reasons[-1] is Reason.PRINCIPAL_UNKNOWN
    terms = stores.partners.get(partner.id) if unrecorded or unknown else None
    if terms is None:
        return None
    identity = None
    if unknown and terms.everyone and found.identity is not None:
        name = render_partner_principal_name(terms.name, found.identity)
        identity = None if stores.directory.knows_removed(name, terms.id) else found.identity
    if not unrecorded and identity is None:
        return None
    return PendingRegistration(
        partner=terms,
        authority_id=found.authority_id,
        facts=facts,
        identity=identity,
        principal_id=principal_id,
    )
