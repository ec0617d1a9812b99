"""A person's own certificates: their status, the names of their devices, renewal, and the report of a loss.

    list_own_certificates   return every certificate of a principal, newest first, with its note
    name_own_device         give the device of a certificate a name
    renew_own_certificate   issue a successor of the certificate of the connection
    report_lost             revoke the certificate of a lost device, with all its renewals, and end their sessions

Each function takes the id of a principal and finds only certificates of this principal. The caller of `report_lost`
first requires a fresh second factor.
Not here: what an administrator may do (authority.revocation), and a new certificate (passkey_renewal, issuing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from doorward.audit.events import EventType, printable
from doorward.authority.inventory import require_certificate
from doorward.authority.issuing import Issued, renew
from doorward.authority.revocation import revoke_within
from doorward.authority.status.ocsp_responses import OcspSigner, signer_if_any
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.holder_notes import MAX_NAME_CHARACTERS, HolderNote
from doorward.stores.prerequisites import replaced_issuer
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.services import Services
from doorward.verification.validity import has_ended

SOON = timedelta(days=14)
"""How long before its end a certificate should be renewed; a third of its lifetime if that is less."""

SHOWN_AFTER_END = timedelta(days=90)
"""How long an ended certificate is shown: there may be hundreds."""

MOST_USABLE = 20
"""Valid certificates of one holder; checked if the portal renews a certificate or adds a device, so that a script cannot
fill the inventory. An operator may issue more."""

_PAGE = 100


class OwnCertificateStatus(Enum):
    """The status of a certificate, as its holder sees it."""

    GOOD = "good"
    SOON = "soon"
    ENDED = "ended"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """A certificate as its holder sees it.

    Args:
        record: as in the inventory.
        name: the holder's name for the device; empty if there is none.
        lost_at: when the holder reported the device lost; None if not.
        status: at the time of the request.
        is_asked_for: whether the authority that issued it is being replaced, and it has no successor yet.
    """

    record: CertificateRecord
    name: str
    lost_at: datetime | None
    status: OwnCertificateStatus
    is_asked_for: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether the door accepts the certificate."""
        return self.status in {OwnCertificateStatus.GOOD, OwnCertificateStatus.SOON}


def find_status(record: CertificateRecord, now: datetime) -> OwnCertificateStatus:
    """Return the status of a certificate."""
    if record.state is CertificateState.REVOKED:
        return OwnCertificateStatus.WITHDRAWN
    if has_ended(record.not_after, now):
        return OwnCertificateStatus.ENDED
    if record.state is CertificateState.ON_HOLD:
        return OwnCertificateStatus.HELD
    left, whole = record.not_after - now, record.not_after - record.not_before
    return OwnCertificateStatus.SOON if left < min(SOON, whole / 3) else OwnCertificateStatus.GOOD


def own_records(stores: Stores, principal_id: str) -> Iterator[CertificateRecord]:
    """Yield every certificate of a principal that was ever valid, oldest first."""
    after = ""
    while True:
        wanted = CertificateFilter(principal_id=principal_id, after_id=after, limit=_PAGE)
        found = stores.certificates.list(wanted)
        yield from (one for one in found if one.state is not CertificateState.INTENDED)
        if len(found) < _PAGE:
            return
        after = found[-1].id


def list_own_certificates(services: Services, principal_id: str) -> list[OwnCertificate]:
    """Return the certificates of a principal, newest first, without those that ended more than 90 days ago."""
    now = services.clock.now()
    with services.work.read() as stores:
        records = [one for one in own_records(stores, principal_id) if now - one.not_after < SHOWN_AFTER_END]
        notes = stores.holder_notes.of([one.id for one in records])
        asked = _find_asked_for(stores, records)
    found = [
        replace(_as_own(record, notes.get(record.id), now), is_asked_for=record.id in asked)
        for record in records
    ]
    return sorted(found, key=lambda one: (one.record.created_at, one.record.id), reverse=True)


def _find_asked_for(stores: Stores, records: Sequence[CertificateRecord]) -> frozenset[str]:
    """Return the certificates that a rollover of the authority issues again, and that have no valid successor."""
    issuer, valid = replaced_issuer(stores), CertificateState.VALID
    theirs = [one.id for one in records if one.authority_id == issuer and one.state is valid]
    return frozenset(
        one
        for one in theirs
        if all(next_.state is not valid for next_ in stores.certificates.successors(one))
    )


def find_own_certificate(services: Services, principal_id: str, certificate_id: str) -> OwnCertificate:
    """Return a certificate of a principal; raise `NotFound` (`certificate-unknown`), also if it is another principal's."""
    now = services.clock.now()
    with services.work.read() as stores:
        record = _require_own(stores, principal_id, certificate_id)
        return _as_own(record, stores.holder_notes.of([record.id]).get(record.id), now)


def name_own_device(services: Services, principal_id: str, certificate_id: str, name: str) -> str:
    """Give the device of a certificate a name; return the name as stored.

    Args:
        services: the ports of this process.
        principal_id: the holder; a certificate of another principal is not found.
        certificate_id: id of the certificate.
        name: at most 64 printable characters; white space around it is removed, and an empty name removes the name.

    Raises:
        MalformedInput: `device-name-malformed`.
        NotFound: `certificate-unknown`.
    """
    kept = name.strip()
    if len(kept) > MAX_NAME_CHARACTERS or not kept.isprintable():
        raise MalformedInput(
            "device-name-malformed",
            f"the name of a device may have at most {MAX_NAME_CHARACTERS} printable characters",
            hint="choose a shorter name, on one line",
        )
    with services.work.change(traffic=True) as stores:
        record = _require_own(stores, principal_id, certificate_id)
        before = stores.holder_notes.of([record.id]).get(record.id) or _empty(record.id)
        stores.holder_notes.save(replace(before, name=kept))
        event = new_event(
            services,
            EventType.CERTIFICATE_NAMED,
            actor=principal_id,
            data={"certificate": record.id, "principal": principal_id},
            personal={"name": printable(kept)},
        )
        stores.outbox.add(event)
    return kept


def renew_own_certificate(services: Services, certificate_id: str, request: bytes, *, actor: str) -> Issued:
    """Issue a successor of the certificate of the connection; both stay valid.

    Args:
        services: of a process that may sign.
        certificate_id: the certificate of the connection.
        request: PKCS#10, PEM or DER; only its key counts.
        actor: the holder.

    Raises:
        RequestRefused: `certificates-too-many`; as `authority.issuing.renew`.
        MalformedInput: as `pki.csr.parse_csr`.
        NotFound: `certificate-unknown`.
    """
    with services.work.read() as stores:
        record = require_certificate(stores, certificate_id)
        require_room(stores, record.principal_id, services.clock.now())
    return renew(services, record, request, actor=actor, may_branch=True)


def require_room(stores: Stores, principal_id: str, now: datetime) -> None:
    """Refuse (`certificates-too-many`) if a principal has reached the limit of valid certificates at the portal."""
    usable = sum(
        one.state is CertificateState.VALID and not has_ended(one.not_after, now)
        for one in own_records(stores, principal_id)
    )
    if usable >= MOST_USABLE:
        raise RequestRefused(
            "certificates-too-many",
            f"you have {usable} valid certificates, and the limit is {MOST_USABLE}",
            hint="report the devices lost that you no longer use",
        )


def report_lost(
    services: Services, principal_id: str, certificate_id: str, *, present: str = ""
) -> ChangeResult[CertificateRecord]:
    """Revoke the certificate of a lost device, end its sessions, and note the loss.

    Its predecessors and successors by renewal belong to the same device and are revoked too: otherwise a thief who renewed
    the certificate in time would keep the successor.

    Args:
        services: the ports of this process.
        principal_id: the holder; a certificate of another principal is not found.
        certificate_id: id of the lost certificate.
        present: id of the certificate of the connection; it stays valid, unless it is the lost one.

    Raises:
        NotFound: `certificate-unknown`.
        RequestRefused: `transition-refused`: the certificate is revoked already.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        record = _require_own(stores, principal_id, certificate_id)
        signer = signer_if_any(services, stores)
        seq = revoke_lost_within(services, stores, signer, record, now=now)
        for other in _line_of(stores, record):
            usable = other.state is CertificateState.VALID and not has_ended(other.not_after, now)
            if usable and other.id not in (present, record.id):
                seq = revoke_lost_within(services, stores, signer, other, now=now)
    return ChangeResult(value=record, seq=seq)


def _line_of(stores: Stores, record: CertificateRecord) -> list[CertificateRecord]:
    """Return a certificate with its predecessors and successors by renewal."""
    records = {one.id: one for one in own_records(stores, record.principal_id)}
    joined: dict[str, set[str]] = {one: set() for one in records}
    for one in records.values():
        if one.replaces in joined:
            joined[one.id].add(one.replaces)
            joined[one.replaces].add(one.id)
    line, next_ones = {record.id}, [record.id]
    while next_ones:
        found = joined[next_ones.pop()] - line
        line |= found
        next_ones += found
    return [records[one] for one in sorted(line)]


def revoke_lost_within(
    services: Services,
    stores: Stores,
    signer: OcspSigner | None,
    record: CertificateRecord,
    *,
    now: datetime,
) -> int:
    """Do what `report_lost` does in the caller's transaction; return the number of the change."""
    holder = record.principal_id
    reason = RevocationReason.KEY_COMPROMISE
    seq = revoke_within(services, stores, signer, record.id, reason, actor=holder, now=now)
    before = stores.holder_notes.of([record.id]).get(record.id) or _empty(record.id)
    stores.holder_notes.save(replace(before, lost_at=now))
    for session in stores.sessions.open_at(now, holder):
        if session.certificate_id == record.id:
            stores.sessions.end(session.id, now)
    event = new_event(
        services,
        EventType.CERTIFICATE_LOST,
        actor=holder,
        at=now,
        data={"certificate": record.id, "principal": holder},
        personal={"name": printable(record.subject_name)},
    )
    stores.outbox.add(event)
    return seq


def _require_own(stores: Stores, principal_id: str, certificate_id: str) -> CertificateRecord:
    record = stores.certificates.get(certificate_id)
    if record is None or record.principal_id != principal_id or record.state is CertificateState.INTENDED:
        raise NotFound("certificate-unknown", "you have no such certificate", hint="load the list again")
    return record


def _as_own(record: CertificateRecord, note: HolderNote | None, now: datetime) -> OwnCertificate:
    kept = note or _empty(record.id)
    return OwnCertificate(
        record=record, name=kept.name, lost_at=kept.lost_at, status=find_status(record, now)
    )


def _empty(certificate_id: str) -> HolderNote:
    return HolderNote(certificate_id=certificate_id, tenant=TENANT)
