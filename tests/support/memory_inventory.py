"""The state behind the fake of `UnitOfWork`, and the fake of its largest store, the inventory.

The other stores and the unit of work are in `memory_store`.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from doorward.audit.events import Event
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import Application, Principal
from doorward.core.errors import IntegrityError, NotFound
from doorward.stores.acme_protocols import (
    AcmeAccountRecord,
    AcmeChallengeRecord,
    AcmeOrderRecord,
    AcmePauseRecord,
)
from doorward.stores.authority_protocols import RolloverRecord
from doorward.stores.fact_protocols import CertificateFacts
from doorward.stores.factor_records import (
    EnrolmentTicket,
    FactorRecord,
    SessionCodeRecord,
    SessionKeyRecord,
    SessionRecord,
    StepUpRecord,
    ThrottleRecord,
)
from doorward.stores.fleet_records import (
    DeviceEnrolmentRecord,
    EnrolmentTagRecord,
    FactorySerialRecord,
    ManufacturerAuthorityRecord,
    ManufacturerRecord,
)
from doorward.stores.holder_notes import HolderNote
from doorward.stores.line_protocols import SuspectedClone
from doorward.stores.notice_protocols import Notice
from doorward.stores.partner_records import (
    PARTNER_PROFILE,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.records import (
    AuthorityRecord,
    CertificateFilter,
    CertificateRecord,
    ChangeRecord,
    CrlBase,
    CrlRecord,
    GatewayRecord,
    InvitationRecord,
    OcspRecord,
    OrderRecord,
    RevisionRecord,
    RevokedRow,
    TenantRecord,
)
from doorward.verification.revocation.status import RecordedRevocation


@dataclass
class State:
    """Everything that is kept; values are frozen, so a copy of the dicts is a copy of the state."""

    tenants: dict[str, TenantRecord] = field(default_factory=dict)
    principals: dict[str, Principal] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    members: dict[tuple[str, str], bool] = field(default_factory=dict)
    nestings: dict[tuple[str, str], bool] = field(default_factory=dict)
    applications: dict[str, tuple[Application, bool]] = field(default_factory=dict)
    authorities: dict[str, AuthorityRecord] = field(default_factory=dict)
    certificates: dict[str, CertificateRecord] = field(default_factory=dict)
    invitations: dict[str, InvitationRecord] = field(default_factory=dict)
    revisions: dict[int, RevisionRecord] = field(default_factory=dict)
    changes: dict[int, ChangeRecord] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    gateways: dict[str, GatewayRecord] = field(default_factory=dict)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    crls: dict[tuple[str, str], CrlRecord] = field(default_factory=dict)
    crl_pieces: dict[tuple[str, int], bytes] = field(default_factory=dict)
    evidence_pieces: dict[tuple[str, int], bytes] = field(default_factory=dict)
    status_changes: dict[tuple[str, int], int] = field(default_factory=dict)
    crl_bases: dict[tuple[str, str, int], CrlBase] = field(default_factory=dict)
    ocsp: dict[tuple[str, str], OcspRecord] = field(default_factory=dict)
    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    counts: dict[tuple[str, str], str] = field(default_factory=dict)
    partners: dict[str, PartnerRecord] = field(default_factory=dict)
    partner_authorities: dict[tuple[str, str], tuple[PartnerAuthorityRecord, bool]] = field(
        default_factory=dict
    )
    evidence: dict[tuple[str, str, str, str], EvidenceRecord] = field(default_factory=dict)
    seen: dict[tuple[str, str, str], RecordedRevocation] = field(default_factory=dict)
    factors: dict[str, FactorRecord] = field(default_factory=dict)
    enrolment_tickets: dict[str, EnrolmentTicket] = field(default_factory=dict)
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    step_ups: dict[str, StepUpRecord] = field(default_factory=dict)
    session_codes: dict[str, SessionCodeRecord] = field(default_factory=dict)
    epochs: dict[tuple[str, str], int] = field(default_factory=dict)
    throttles: dict[str, ThrottleRecord] = field(default_factory=dict)
    holder_notes: dict[str, HolderNote] = field(default_factory=dict)
    mail_addresses: dict[str, str] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    suspected_clones: dict[str, SuspectedClone] = field(default_factory=dict)
    session_keys: dict[str, SessionKeyRecord] = field(default_factory=dict)
    manufacturers: dict[str, ManufacturerRecord] = field(default_factory=dict)
    manufacturer_authorities: dict[tuple[str, str], ManufacturerAuthorityRecord] = field(default_factory=dict)
    device_enrolments: dict[str, DeviceEnrolmentRecord] = field(default_factory=dict)
    enrolment_tags: dict[str, EnrolmentTagRecord] = field(default_factory=dict)
    facts: dict[str, CertificateFacts] = field(default_factory=dict)
    factory_serials: dict[tuple[str, str], FactorySerialRecord] = field(default_factory=dict)
    acme_accounts: dict[str, AcmeAccountRecord] = field(default_factory=dict)
    acme_orders: dict[str, AcmeOrderRecord] = field(default_factory=dict)
    acme_challenges: dict[str, AcmeChallengeRecord] = field(default_factory=dict)
    acme_tries: dict[tuple[str, str, str], int] = field(default_factory=dict)
    acme_pauses: dict[str, AcmePauseRecord] = field(default_factory=dict)
    rollovers: dict[str, RolloverRecord] = field(default_factory=dict)

    def copy(self) -> State:
        return State(**{name: dict(getattr(self, name)) for name in self.__dataclass_fields__})


class Store:
    """One store over the state of one transaction; `writable()` guards every write."""

    def __init__(self, state: State, tenant: str, *, write: bool) -> None:
        self.state = state
        self.tenant = tenant
        self.write = write

    def writable(self, tenant: str | None = None) -> State:
        if not self.write:
            raise RuntimeError("a read transaction cannot write")
        if tenant not in (None, self.tenant):
            raise ValueError("the record is of another tenant than the transaction")
        return self.state


class MemoryCertificates(Store):
    """The fake of `CertificateStore`."""

    def add_intended(self, *certificates: CertificateRecord) -> None:
        for certificate in certificates:
            kept = self.writable(certificate.tenant).certificates
            if self._taken(certificate):
                raise IntegrityError("certificate-duplicate", "this certificate was recorded before")
            kept[certificate.id] = replace(certificate, state=CertificateState.INTENDED)

    def add_seen(self, certificate: CertificateRecord) -> bool:
        kept = self.writable(certificate.tenant).certificates
        taken = self._taken(certificate)
        if not taken:
            kept[certificate.id] = certificate
        return not taken

    def _taken(self, certificate: CertificateRecord) -> bool:
        """Whether one of its keys is: the id, the issuer and serial, or the digest."""
        place = (certificate.authority_id, certificate.serial)
        return any(
            (other.authority_id, other.serial) == place
            or other.id == certificate.id
            or (other.sha256 and other.sha256 == certificate.sha256)
            for other in self.state.certificates.values()
        )

    def complete(self, *certificates: CertificateRecord) -> None:
        for one in certificates:
            self.writable(one.tenant)
            kept = self._known(one.id)
            if kept.state is not CertificateState.INTENDED:
                raise IntegrityError("certificate-not-intended", "this certificate was completed before")
            self.state.certificates[one.id] = replace(
                kept, sha256=one.sha256, der=one.der, state=CertificateState.VALID
            )

    def assign(self, certificate_id: str, principal_id: str, authority_id: str) -> None:
        kept = replace(self._known(certificate_id), principal_id=principal_id, authority_id=authority_id)
        self.state.certificates[certificate_id] = kept

    def get(self, certificate_id: str) -> CertificateRecord | None:
        return self.state.certificates.get(certificate_id)

    def by_sha256(self, sha256: str) -> CertificateRecord | None:
        return next((c for c in self.state.certificates.values() if sha256 and c.sha256 == sha256), None)

    def by_serial(self, authority_id: str, serial: int) -> CertificateRecord | None:
        wanted = (authority_id, serial)
        return next(
            (c for c in self.state.certificates.values() if (c.authority_id, c.serial) == wanted), None
        )

    def list(self, wanted: CertificateFilter) -> list[CertificateRecord]:
        kept = self.state.certificates
        floor = None
        if wanted.after_id:
            if wanted.after_id not in kept:
                raise NotFound("certificate-unknown", "there is no such certificate to go on from")
            floor = (kept[wanted.after_id].created_at, wanted.after_id)
        every = self.state.partner_authorities.values()
        issuers = {one.id for one, _ in every if one.partner_id == wanted.partner_id}
        found = [
            c
            for c in sorted(kept.values(), key=lambda c: (c.created_at, c.id))
            if (floor is None or (c.created_at, c.id) > floor)
            and wanted.principal_id in (None, c.principal_id)
            and (wanted.partner_id is None or c.authority_id in issuers)
            and wanted.state in (None, c.state)
            and (c.profile == PARTNER_PROFILE or not (wanted.of_partners or wanted.partner_id))
        ]
        return found[: wanted.limit]

    def find(self, prefix: str) -> builtins.list[CertificateRecord]:
        text = prefix.lower()
        number = text.lstrip("0")
        found = [
            c
            for c in self.state.certificates.values()
            if c.id.startswith(text)
            or c.sha256.startswith(text)
            or (number and f"{c.serial:x}".startswith(number))
        ]
        return sorted(found, key=lambda c: c.id)[:2]

    def set_state(
        self,
        certificate_id: str,
        state: CertificateState,
        *,
        reason: RevocationReason | None,
        revoked_at: datetime | None,
    ) -> None:
        kept = self._known(certificate_id)
        changed = replace(kept, state=state, reason=reason, revoked_at=revoked_at)
        self.state.certificates[certificate_id] = changed

    def revoked(self, authority_id: str, not_after: datetime) -> Iterator[RevokedRow]:
        listed = (CertificateState.REVOKED, CertificateState.ON_HOLD)
        for c in sorted(self.state.certificates.values(), key=lambda c: f"{c.serial:x}"):
            if c.authority_id == authority_id and c.state in listed and c.not_after > not_after:
                assert c.revoked_at is not None
                assert c.reason is not None
                yield c.serial, int(c.not_after.timestamp()), int(c.revoked_at.timestamp()), c.reason

    def successors(self, certificate_id: str) -> builtins.list[CertificateRecord]:
        found = [
            c for c in self.state.certificates.values() if certificate_id and c.replaces == certificate_id
        ]
        return sorted(found, key=lambda c: (c.created_at, c.id))

    def has_key(self, spki_sha256: str) -> bool:
        kept = self.state.certificates.values()
        were_valid = {c.spki_sha256 for c in kept if c.state is not CertificateState.INTENDED}
        return bool(spki_sha256) and spki_sha256 in were_valid

    def revoked_keys(self, spki_sha256s: Collection[str]) -> frozenset[str]:
        kept = self.state.certificates.values()
        revoked = {c.spki_sha256 for c in kept if c.state is CertificateState.REVOKED}
        return frozenset(revoked.intersection(spki_sha256s) - {""})

    def renewed_since(self, principal_id: str, since: datetime) -> builtins.list[datetime]:
        every = self.state.certificates.values()
        mine = [c for c in every if c.principal_id == principal_id and c.replaces]
        return sorted(c.created_at for c in mine if c.created_at >= since)

    def counts(self) -> Mapping[str, int]:
        counts = {state.value: 0 for state in CertificateState}
        for certificate in self.state.certificates.values():
            counts[certificate.state.value] += 1
        return counts

    def _known(self, certificate_id: str) -> CertificateRecord:
        if certificate_id not in self.writable().certificates:
            raise NotFound("certificate-unknown", "there is no such certificate")
        return self.state.certificates[certificate_id]
