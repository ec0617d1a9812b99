"""Just-in-time registration: what a device gets for its factory certificate.

    admit   a claim to one certificate of ours; or the device waits, has its certificate already, or is refused
    enrol   does the same and issues; a lost answer is given again: this is what a protocol server calls

The first contact of a device leaves one row, and no principal: the device is in no group, and no rule can name it. A
stranger without a good factory certificate leaves no row. After the approval, the next contact gets a claim.
1. The factory certificate is judged on one snapshot (`judging`); then the request is parsed.
2. The request's key differs from the factory's, which the factory may have kept, and from every key that has a certificate:
   devices of one firmware image may have one key.
3. The state of the enrolment decides (`states`). Only steps that change it open a write transaction, and repeated
   contacts of a waiting device are counted about once a minute, so a device that asks in a loop costs reads.
4. The claim is redeemed by one conditional UPDATE in the transaction of the intent, and checked again when the
   certificate becomes valid: an enrolment that was refused, or a manufacturer that was removed in between, ends it.
An enrolled device that comes again with another key is held for the operator: a reset device and a clone look the same.

Not here: the operator's part (`approving`), TLS, HTTP and the limits of a source (enrolment, web).
Standard: RFC 7030 sections 3.3.2 and 4.2.3; IEEE 802.1AR-2018; docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.audit.events import EventType, printable
from doorward.authority.holder_certificates import live_certificates
from doorward.authority.issuing import Claim, Entitlement, Issued, entitlement_of, issue
from doorward.authority.revocation import revoke_within
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.directory.fleets.approving import AGAIN, approve_within
from doorward.directory.fleets.enrolment_events import new_enrolment_event
from doorward.directory.fleets.judging import (
    FactoryCertificate,
    judge_factory_certificate,
    refuse_factory_certificate,
)
from doorward.directory.fleets.lapsing import ANOTHER_KEY, LAPSED, approval_end, find_end, lapse_within
from doorward.directory.fleets.rules import BARRED, apply_rules, refuse_barred
from doorward.directory.fleets.states import EnrolmentStep, next_state
from doorward.pki.csr import parse_csr
from doorward.pki.keys import digest_public_key
from doorward.stores.fleet_records import DeviceEnrolmentRecord, EnrolmentState, ManufacturerRecord
from doorward.stores.prerequisites import issuing_chain
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, ChangeKind
from doorward.stores.services import Services
from doorward.verification.validity import has_ended

SOONEST_RETRY, LATEST_RETRY = timedelta(seconds=30), timedelta(minutes=15)
"""A device that waits for long asks less often, and never waits longer than this after the approval."""

IN_FLIGHT = timedelta(minutes=1)
"""A certificate that was intended for longer is taken for lost in a crash; signing takes milliseconds."""

COUNT_EVERY = timedelta(minutes=1)
MOST_CHANGES = 12
WHEN_FULL = timedelta(minutes=15)
SOURCE_LIMIT = 64


class EnrolmentPending(Exception):
    """An operator has to approve the device first; it asks again after `retry_after`."""

    def __init__(self, enrolment_id: str, retry_after: timedelta) -> None:
        super().__init__(f"{enrolment_id} waits for an operator")
        self.enrolment_id = enrolment_id
        self.retry_after = retry_after


class AlreadyEnrolled(Exception):
    """The device has a valid certificate for this very key, which is given again."""

    def __init__(self, certificate_id: str) -> None:
        super().__init__(f"{certificate_id} was issued for this key")
        self.certificate_id = certificate_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryClaim:
    """An approved enrolment as a claim (`authority.issuing.claims`) to one certificate of its device.

    Args:
        enrolment: as it was when the claim was made; its `wanted_key` is the key that was approved.
        name: the name of the device.
        ends_at: the end of the approval.
    """

    enrolment: DeviceEnrolmentRecord
    name: str
    ends_at: datetime

    @property
    def actor(self) -> str:
        """The id of the enrolment: the factory certificate says nothing else that was checked here."""
        return self.enrolment.id

    @property
    def holder(self) -> str:
        """The device's id."""
        return self.enrolment.principal_id

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the device's entitlement; refuse if the approval ended, its manufacturer was removed, or its serial number is barred."""
        if now >= self.ends_at:
            raise _refuse_used()
        _require_manufacturer(stores, self.enrolment)
        refuse_barred(stores, self.enrolment)
        return entitlement_of(stores, self.holder)

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the approval up; raise `RequestRefused` (`enrolment-used`) if another request was faster, or it was refused."""
        self._require_approved(stores, record)
        enrolled = replace(
            self.enrolment,
            state=next_state(self.enrolment.state, EnrolmentStep.REDEEM),
            certificate_id=record.id,
            issued_key=record.spki_sha256,
            wanted_key=record.spki_sha256,
            seen_at=services.clock.now(),
        )
        if not stores.device_enrolments.advance(self.enrolment, enrolled):
            raise _refuse_used()
        if stores.certificates.has_key(
            record.spki_sha256
        ):  # after the claim: a repeated request is told to ask again
            raise _refuse_used_key()
        stores.outbox.add(new_enrolment_event(services, EventType.DEVICE_ENROLLED, enrolled, name=self.name))

    def _require_approved(self, stores: Stores, record: CertificateRecord) -> None:
        """Refuse another key than the approved one, and another approval: this one may have ended meanwhile."""
        current = stores.device_enrolments.get(self.enrolment.id)
        is_same = current is not None and current.decided_at == self.enrolment.decided_at
        if not is_same or record.spki_sha256 != self.enrolment.wanted_key:
            raise _refuse_used()

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Refuse if the enrolment ended or was barred since the intent, or if a later request took its place.

        If a duplicate was approved, the certificates that the device had are revoked as superseded: of a device and its
        clone, only the approved one goes on.
        """
        _require_manufacturer(stores, self.enrolment)
        refuse_barred(stores, self.enrolment)
        current = stores.device_enrolments.get(self.enrolment.id)
        if current is None or (current.state, current.certificate_id) != (EnrolmentState.ENROLLED, record.id):
            raise _refuse_used()
        if stores.certificates.has_key(record.spki_sha256):  # since the intent, another device got it
            raise _refuse_used_key()
        if self.enrolment.reason == AGAIN:
            _replace_certificates(services, stores, self.holder, record.id, actor=self.actor)


def enrol(services: Services, chain: Sequence[bytes], request: bytes, *, source: str) -> Issued:
    """Issue the certificate of an approved device, or give the one for the same key again; raises as `admit` and `issue`."""
    try:
        claim = admit(services, chain, request, source=source)
    except AlreadyEnrolled as done:
        return _give_again(services, done.certificate_id)
    return issue(services, request, claim)


def admit(services: Services, chain: Sequence[bytes], request: bytes, *, source: str) -> Claim:
    """Return the claim of a device with a good factory certificate, after its approval.

    Args:
        services: the ports of this process.
        chain: the certificates that the device showed, DER, leaf first; TLS has proved the key of the first.
        request: PKCS#10, PEM or DER; only its key is used.
        source: the address of the device, for the operator.

    Raises:
        EnrolmentPending: an operator has to approve it.
        AlreadyEnrolled: there is a valid certificate for this key.
        RequestRefused: `factory-certificate-refused`; `factory-key-reused`; `device-refused`: an operator refused it, or it
            waits as a duplicate; `enrolments-too-many`: too many devices of its manufacturer wait; `key-used-before`: a
            certificate with this key was issued before.
        MalformedInput: as `pki.csr.parse_csr`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        shown = judge_factory_certificate(stores, chain, now)
        # After the judgement: a stranger's key must not cost a verification.
        wanted_key = digest_public_key(parse_csr(request).public_key)
        if wanted_key == shown.key_sha256:
            raise _refuse_key()
        found = stores.device_enrolments.by_fingerprint(shown.fingerprint)
        if stores.certificates.has_key(wanted_key) and (found is None or wanted_key != found.issued_key):
            raise _refuse_used_key()
        outcome = (
            _decide(services, stores, found, wanted_key, source) if found else _find_no_room(stores, shown)
        )
    if outcome is None:
        with services.work.change(traffic=True) as stores:
            outcome = _change(services, stores, shown, wanted_key, source)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


_Outcome = FactoryClaim | EnrolmentPending | AlreadyEnrolled | RequestRefused


def _decide(
    services: Services, stores: Stores, found: DeviceEnrolmentRecord, wanted_key: str, source: str
) -> _Outcome | None:
    """Return the outcome if it changes nothing; None if a write transaction has to decide."""
    now = services.clock.now()
    match found.state:
        case EnrolmentState.APPROVED:
            is_over = find_end(found, wanted_key, services.approval_lifetime, now)
            return None if is_over else _claim(services, stores, found)
        case EnrolmentState.ENROLLED:
            return _decide_enrolled(services, stores, found, wanted_key)
    if _is_counted(found, wanted_key, source, now):
        return _answer_waiting(found, now)
    return None


def _decide_enrolled(
    services: Services, stores: Stores, found: DeviceEnrolmentRecord, wanted_key: str
) -> _Outcome | None:
    """The device had a certificate: was the answer lost, was there a crash, or is this another device?"""
    now = services.clock.now()
    issued = stores.certificates.get(found.certificate_id)
    if issued is None or issued.state is CertificateState.INTENDED:
        if issued is not None and now - issued.created_at < IN_FLIGHT:
            return EnrolmentPending(found.id, SOONEST_RETRY)  # another request of the device is on its way
        # It never became valid: see `states`. The approval goes on, for the same key and until its end.
        is_over = find_end(found, wanted_key, services.approval_lifetime, now)
        return None if is_over else _claim(services, stores, found)
    if wanted_key == found.issued_key and issued.state is CertificateState.VALID:
        return None if has_ended(issued.not_after, now) else AlreadyEnrolled(issued.id)
    return None


def _change(
    services: Services, stores: Stores, shown: FactoryCertificate, wanted_key: str, source: str
) -> _Outcome:
    """Decide in a write transaction, from its own view; the answer is raised after the commit."""
    now = services.clock.now()
    manufacturer = stores.manufacturers.get(shown.manufacturer.id)
    if manufacturer is None or manufacturer.removed_at is not None:
        return refuse_factory_certificate("its manufacturer was removed")
    found = stores.device_enrolments.by_fingerprint(shown.fingerprint)
    if found is None:
        return _add(services, stores, shown, wanted_key, source)
    settled = _decide(services, stores, found, wanted_key, source)
    if settled is not None:
        return settled
    counted = _count_contact(found, wanted_key, source, now)
    if found.state is EnrolmentState.APPROVED:
        why = find_end(found, wanted_key, services.approval_lifetime, now)
        return _answer_waiting(lapse_within(services, stores, found, why, counted=counted), now)
    if found.state is EnrolmentState.ENROLLED:
        counted = replace(
            counted,
            state=next_state(found.state, EnrolmentStep.REPEAT),
            reason=_why_again(services, stores, found, wanted_key),
        )
        stores.outbox.add(new_enrolment_event(services, EventType.DEVICE_DUPLICATE, counted))
    stores.device_enrolments.advance(found, counted)
    is_plain = counted.keys == counted.sources == 1 and counted.reason not in LAPSED
    if counted.state is EnrolmentState.PENDING and is_plain:
        return _try_rules(services, stores, counted, manufacturer)
    return _answer_waiting(counted, now)


def _add(
    services: Services, stores: Stores, shown: FactoryCertificate, wanted_key: str, source: str
) -> _Outcome:
    """Add the row of a device's first contact, up to the manufacturer's limit."""
    now = services.clock.now()
    no_room = _find_no_room(stores, shown)
    if no_room is not None:
        return no_room
    enrolment = DeviceEnrolmentRecord(
        id=services.new_id("den"),
        tenant=TENANT,
        manufacturer_id=shown.manufacturer.id,
        fingerprint=shown.fingerprint,
        serial=shown.serial,
        subject=shown.subject,
        factory_der=shown.der,
        state=EnrolmentState.PENDING,
        tag=shown.manufacturer.tag,
        wanted_key=wanted_key,
        source=printable(source, SOURCE_LIMIT),
        created_at=now,
        seen_at=now,
    )
    stores.device_enrolments.add(enrolment)
    stores.outbox.add(new_enrolment_event(services, EventType.DEVICE_PENDING, enrolment))
    return _try_rules(services, stores, enrolment, shown.manufacturer)


def _find_no_room(stores: Stores, shown: FactoryCertificate) -> RequestRefused | None:
    """Return the error if too many devices of a manufacturer wait.

    It is found by reading: a stolen key of a factory, which can certify without end, costs no writes when the limit is reached.
    """
    waiting = stores.device_enrolments.count_in(shown.manufacturer.id, EnrolmentState.PENDING)
    if waiting < shown.manufacturer.most_pending:
        return None
    return RequestRefused(
        "enrolments-too-many",
        f"{waiting} devices of this manufacturer wait for an operator, and no more are kept",
        hint="an operator approves or refuses some: `doorward device pending`",
        retry_after_seconds=int(WHEN_FULL.total_seconds()),
    )


def _try_rules(
    services: Services, stores: Stores, enrolment: DeviceEnrolmentRecord, manufacturer: ManufacturerRecord
) -> _Outcome:
    """Approve the device if the rules of its manufacturer allow it without an operator; otherwise note why not."""
    now = services.clock.now()
    decision = apply_rules(stores, enrolment, manufacturer, now)
    if decision.approved and (not decision.closes or stores.enrolment_tags.close(decision.closes, now)):
        approved, _ = approve_within(services, stores, enrolment, decision, now=now)
        stores.changes.note(ChangeKind.PRINCIPAL, approved.principal_id, now)
        return _claim(services, stores, approved)
    waiting = replace(enrolment, reason=decision.reason or "tag-closed")
    if waiting.reason == BARRED:
        waiting = replace(waiting, state=next_state(waiting.state, EnrolmentStep.REFUSE))
        stores.outbox.add(new_enrolment_event(services, EventType.DEVICE_REFUSED, waiting))
    if waiting != enrolment:
        stores.device_enrolments.advance(enrolment, waiting)
    return _answer_waiting(waiting, now)


def _replace_certificates(
    services: Services, stores: Stores, principal_id: str, certificate_id: str, *, actor: str
) -> None:
    """Revoke every other certificate of a device that is valid or on hold."""
    signer, now = signer_if_any(services, stores), services.clock.now()
    for one in live_certificates(stores, principal_id, now):
        if one.id != certificate_id:
            reason = RevocationReason.SUPERSEDED
            revoke_within(services, stores, signer, one.id, reason, actor=actor, now=now)


def _claim(services: Services, stores: Stores, found: DeviceEnrolmentRecord) -> FactoryClaim | RequestRefused:
    principal = stores.directory.get(found.principal_id)
    if principal is None:
        return _refuse_device()
    ends = approval_end(found, services.approval_lifetime)
    return FactoryClaim(enrolment=found, name=principal.name, ends_at=ends)


def _answer_waiting(found: DeviceEnrolmentRecord, now: datetime) -> EnrolmentPending | RequestRefused:
    if found.state is not EnrolmentState.PENDING:
        return _refuse_device()
    retry = max(SOONEST_RETRY, min((now - found.created_at) / 10, LATEST_RETRY))
    return EnrolmentPending(found.id, timedelta(seconds=round(retry.total_seconds())))


def _is_counted(found: DeviceEnrolmentRecord, wanted_key: str, source: str, now: datetime) -> bool:
    """Whether this contact is not counted: each count is a durable write.

    Another key or address is a sign of a clone, so it is counted at once, up to a number that shows it.
    """
    changed = (wanted_key, printable(source, SOURCE_LIMIT)) != (found.wanted_key, found.source)
    if changed and found.keys + found.sources < MOST_CHANGES:
        return False
    return now - found.seen_at < COUNT_EVERY


def _count_contact(
    found: DeviceEnrolmentRecord, wanted_key: str, source: str, now: datetime
) -> DeviceEnrolmentRecord:
    source = printable(source, SOURCE_LIMIT)
    return replace(
        found,
        wanted_key=wanted_key,
        source=source,
        seen_at=now,
        contacts=found.contacts + 1,
        keys=found.keys + (wanted_key != found.wanted_key),
        sources=found.sources + (source != found.source),
    )


def _why_again(services: Services, stores: Stores, found: DeviceEnrolmentRecord, wanted_key: str) -> str:
    """Return why an enrolled device asks again, as a word."""
    issued = stores.certificates.get(found.certificate_id)
    if issued is None or issued.state is CertificateState.INTENDED:
        return find_end(found, wanted_key, services.approval_lifetime, services.clock.now())
    if issued.state is not CertificateState.VALID:
        return f"certificate-{issued.state.value}"
    return ANOTHER_KEY if wanted_key != found.issued_key else "certificate-ended"


def _require_manufacturer(stores: Stores, enrolment: DeviceEnrolmentRecord) -> None:
    manufacturer = stores.manufacturers.get(enrolment.manufacturer_id)
    if manufacturer is None or manufacturer.removed_at is not None:
        raise refuse_factory_certificate("its manufacturer was removed")


def _give_again(services: Services, certificate_id: str) -> Issued:
    with services.work.read() as stores:
        record = stores.certificates.get(certificate_id)
        if record is None or record.state is not CertificateState.VALID:
            raise _refuse_used()
        chain = issuing_chain(stores, record.authority_id)
        return Issued(record=record, chain_der=(record.der, *chain), seq=stores.changes.head())


def _refuse_used() -> RequestRefused:
    return RequestRefused(
        "enrolment-used",
        "the approval of this device was used by another request, or withdrawn",
        hint="ask again; an operator sees the state: `doorward device pending --all`",
    )


def _refuse_device() -> RequestRefused:
    return RequestRefused(
        "device-refused",
        "this device gets no certificate",
        hint="an operator sees why and can approve it: `doorward device pending --all`",
    )


def _refuse_used_key() -> RequestRefused:
    return RequestRefused(
        "key-used-before",
        "a certificate with this key was issued before",
        hint="make a new key for each certificate, and on each device",
    )


def _refuse_key() -> RequestRefused:
    return RequestRefused(
        "factory-key-reused",
        "the request has the key of the factory certificate",
        hint="make a new key on the device, and ask for a certificate for that key",
    )
