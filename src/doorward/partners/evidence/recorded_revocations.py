"""Recording revocations of known certificates, so that a certificate stays refused after its CRL is gone.

A CRL expires, is replaced by one with another scope, or is removed because no certificate names its address any more;
its signer may expire before it. None of this makes a revoked certificate good again (RFC 5280 section 5.3.1: only
a hold can be released), and under `prefer` a certificate with unknown status is admitted. So each revocation of a known
certificate is recorded:
1. Known certificates are the partner's intermediates and its leaves in the inventory. They are matched with the entries
   of the CRL by issuer and serial number, and then fully judged by this one CRL (scope, signer, indirect entries).
2. Revocations are recorded when the CRL is stored, and again before it is replaced or removed, because more certificates
   may be known by then.
3. A hold is recorded as a hold. It is released if a newer CRL or OCSP response reports the certificate as good,
   or if a newer delta CRL removes it. Every other revocation stays as long as the partner is trusted.

Not here: judging by recorded revocations (verification.revocation.path_status).
Standard: RFC 5280 sections 3.3, 5.2.4 and 5.3.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.x509 import ReasonFlags

from doorward.core.errors import MalformedInput
from doorward.partners.trust import find_path, parse_if_sound, trust_of
from doorward.stores.partner_records import (
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services
from doorward.verification.partner import PartnerTrust
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.validation import CertificationPath
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.path_status import judge_path_status
from doorward.verification.revocation.status import RecordedRevocation, RevocationStatus, StatusFinding

_HOLD = "certificate-hold"
_PAGE = 200
"""Certificates of the inventory that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationUpdate:
    """Revocations to record, and holds to release."""

    recorded: tuple[RecordedRevocation, ...] = ()
    released: tuple[RecordedRevocation, ...] = ()

    def apply(self, stores: Stores, partner_id: str) -> bool:
        """Write the update; return whether it changed something. A hold never replaces a final revocation."""
        kept = {(one.issuer_key, one.serial): one for one in stores.evidence.recorded_revocations(partner_id)}
        before = dict(kept)
        for one in self.released:
            if kept.get((one.issuer_key, one.serial)) == one:
                stores.evidence.forget_revocation(partner_id, one)
                del kept[one.issuer_key, one.serial]
        for one in self.recorded:
            known = kept.get((one.issuer_key, one.serial))
            if known is None or (known.held and (not one.held or one.this_update > known.this_update)):
                stores.evidence.record_revocation(partner_id, one)
                kept[one.issuer_key, one.serial] = one
        return kept != before


def update_from_crl(
    services: Services,
    partner: PartnerRecord,
    authorities: Sequence[PartnerAuthorityRecord],
    crl: Crl,
    now: datetime,
) -> RevocationUpdate:
    """Return the update that follows from a CRL."""
    trust = trust_of(partner, authorities)
    if trust is None:
        return RevocationUpdate()
    delta = crl.base is not None
    evidence_index = EvidenceIndex([replace(crl, base=None)])
    recorded, released = [], []
    with services.work.read() as stores:
        kept = stores.evidence.recorded_revocations(partner.id)
    known = frozenset((one.issuer_key, one.serial) for one in kept if not one.held)
    for der in _find_listed(services, partner, authorities, crl, known):
        found = _judge(der, trust, evidence_index, now)
        if found is not None:
            recorded.append(found)
    with services.work.read() as stores:
        ders = [(one, _find_der(stores, authorities, one.certificate)) for one in kept if one.held]
    for one, der in ders:
        certificate = parse_if_sound(der)
        path = find_path(trust, certificate, now) if certificate is not None else ()
        if not path or crl.this_update <= one.this_update:
            continue
        _, reason = crl.find(path[0].issuer, path[0].serial)
        if delta:
            has_ended = reason is ReasonFlags.remove_from_crl
        else:
            has_ended = _find_status(path, trust, evidence_index, now).status is RevocationStatus.GOOD
        if has_ended:
            released.append(one)
    return RevocationUpdate(recorded=tuple(recorded), released=tuple(released))


def update_from_ocsp_response(
    services: Services,
    partner: PartnerRecord,
    pair: tuple[PathCertificate, PathCertificate],
    finding: StatusFinding,
) -> RevocationUpdate:
    """Return the update that follows from an OCSP response; `finding` is its finding about the certificate in `pair`."""
    if finding.status is RevocationStatus.REVOKED:
        return RevocationUpdate(recorded=(_seen(pair[0], pair[1], finding),))
    with services.work.read() as stores:
        kept = stores.evidence.recorded_revocations(partner.id)
    key, at = _key_of(pair[1]), finding.this_update
    holds = [one for one in kept if one.held and (one.issuer_key, one.serial) == (key, pair[0].serial)]
    good = finding.status is RevocationStatus.GOOD and at is not None
    return RevocationUpdate(
        released=tuple(one for one in holds if good and at is not None and at > one.this_update)
    )


def update_from_row(
    services: Services, partner: PartnerRecord, row: EvidenceRecord, now: datetime
) -> RevocationUpdate:
    """Return the update from the CRL of a row that is about to be removed; OCSP responses were recorded when they came."""
    if row.kind is not EvidenceKind.CRL:
        return RevocationUpdate()
    with services.work.read() as stores:
        found = stores.evidence.get(row.partner_id, row.kind, row.source, row.about)
        authorities = tuple(stores.partners.authorities(partner.id))
    try:
        crl = parse_crl(found.der if found is not None else b"")
    except MalformedInput:
        return RevocationUpdate()
    return RevocationUpdate(recorded=update_from_crl(services, partner, authorities, crl, now).recorded)


def _find_listed(
    services: Services,
    partner: PartnerRecord,
    authorities: Iterable[PartnerAuthorityRecord],
    crl: Crl,
    known: frozenset[tuple[str, int]],
) -> Iterator[bytes]:
    """Step 1: yield the known certificates that the CRL lists, matched by issuer name and serial number.

    Certificates with a final revocation on record (`known`) are skipped. The authority of a leaf may have been removed
    since.
    """
    if not crl.entries and not crl.others:
        return
    for record in authorities:
        certificate = parse_if_sound(record.der)
        if certificate is not None and crl.find(certificate.issuer, certificate.serial)[0]:
            yield record.der
    issuers = _issuers(services, partner)
    last = ""
    while True:
        with services.work.read() as stores:
            leaves = stores.certificates.list(
                CertificateFilter(
                    partner_id=partner.id,
                    after_id=last,
                    limit=_PAGE,
                )
            )
        for leaf in leaves:
            if leaf.authority_id not in issuers:
                continue
            name, key = issuers[leaf.authority_id]
            if (key, leaf.serial) not in known and crl.find(name, leaf.serial)[0]:
                yield leaf.der
        if len(leaves) < _PAGE:
            return
        last = leaves[-1].id


def _issuers(services: Services, partner: PartnerRecord) -> dict[str, tuple[CanonicalName, str]]:
    """Return name and key of each authority of the partner, removed ones included, by the authority's id."""
    with services.work.read() as stores:
        every = [one for one in stores.partners.every_authority() if one.partner_id == partner.id]
    read = [(one.id, parse_if_sound(one.der)) for one in every]
    return {id_: (one.subject, _key_of(one)) for id_, one in read if one is not None}


def _find_der(stores: Stores, authorities: Iterable[PartnerAuthorityRecord], sha256: str) -> bytes:
    der = next((one.der for one in authorities if one.sha256 == sha256), b"")
    record = None if der else stores.certificates.by_sha256(sha256)
    return record.der if record is not None else der


def _judge(
    der: bytes, trust: PartnerTrust, evidence_index: EvidenceIndex, now: datetime
) -> RecordedRevocation | None:
    certificate = parse_if_sound(der)
    path = find_path(trust, certificate, now) if certificate is not None else ()
    if len(path) < 2:  # noqa: PLR2004  certificate and issuer
        return None
    found = _find_status(path, trust, evidence_index, now)
    return _seen(path[0], path[1], found) if found.status is RevocationStatus.REVOKED else None


def _find_status(
    path: CertificationPath, trust: PartnerTrust, evidence_index: EvidenceIndex, now: datetime
) -> StatusFinding:
    """Return the status of the first certificate of a path by this one CRL."""
    every = judge_path_status(path, trust.status_sources(evidence_index), now)
    findings = [one for one in every if one.certificate == path[0].sha256]
    return (
        findings[-1]
        if findings
        else StatusFinding(status=RevocationStatus.UNDETERMINED, certificate=path[0].sha256)
    )


def _seen(certificate: PathCertificate, issuer: PathCertificate, found: StatusFinding) -> RecordedRevocation:
    assert found.this_update is not None
    return RecordedRevocation(
        issuer_key=_key_of(issuer),
        serial=certificate.serial,
        certificate=certificate.sha256,
        held=found.reason == _HOLD,
        reason=found.reason,
        this_update=found.this_update,
        evidence=found.evidence[0],
    )


def _key_of(issuer: PathCertificate) -> str:
    return hashlib.sha256(issuer.key_bits).hexdigest()
