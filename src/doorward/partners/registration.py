"""Recording a partner's certificate when it comes to the door for the first time, and its principal if allowed.

Not here: judging it (`judging`). One short transaction, once in the life of a certificate. Only
certificates with a good path are recorded, so only a partner's authorities can make the tables grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from doorward.audit.events import Event, EventType, printable
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.names import render_partner_principal_name
from doorward.partners.judging import PendingRegistration
from doorward.pki.keys import digest_key_of
from doorward.stores.events import new_event
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord, ChangeKind
from doorward.stores.services import Services


def register(services: Services, registration: PendingRegistration, now: datetime) -> None:
    """Record a partner's certificate, and add its principal if the terms admit everyone.

    Nothing is written if another gateway has recorded it, the terms changed since it was judged, this principal was
    removed from the directory, or another certificate has the same issuer and serial number (for example the same one
    with another encoding of its signature). So the caller must judge the certificate again in any case.
    """
    facts = registration.facts
    with services.work.change(traffic=True) as stores:  # partners may send many (docs/design/0045)
        if stores.partners.get(registration.partner.id) != registration.partner:
            return
        principal = _add_principal(services, stores, registration, now)
        principal_id = principal.id if principal else registration.principal_id
        known = stores.certificates.by_sha256(facts.sha256)
        if known is not None:
            _update_record(stores, known, principal_id or known.principal_id, registration.authority_id, now)
            return
        record = CertificateRecord(
            id=services.new_id("crt"),
            tenant=TENANT,
            authority_id=registration.authority_id,
            serial=facts.serial,
            sha256=facts.sha256,
            profile=PARTNER_PROFILE,
            state=CertificateState.VALID,
            not_before=facts.not_before,
            not_after=facts.not_after,
            der=facts.der,
            created_at=now,
            principal_id=principal_id,
            subject_name=facts.subject,
            spki_sha256=digest_key_of(facts.der),
        )
        if stores.certificates.add_seen(record):
            stores.outbox.add(_seen_event(services, registration, record, facts.san, now))
            stores.changes.note(ChangeKind.CERTIFICATE, record.id, now)


def _update_record(
    stores: Stores, known: CertificateRecord, principal_id: str, authority_id: str, now: datetime
) -> None:
    """Update the principal and the authority of a recorded certificate.

    A renewed authority has another id, and evidence is found by the authority's id.
    """
    holder = stores.certificates.by_serial(authority_id, known.serial)
    if holder is not None and holder.id != known.id:
        authority_id = known.authority_id  # there, another certificate has this serial number
    if (known.principal_id, known.authority_id) == (principal_id, authority_id):
        return
    stores.certificates.assign(known.id, principal_id, authority_id)
    stores.changes.note(ChangeKind.CERTIFICATE, known.id, now)


def _add_principal(
    services: Services, stores: Stores, registration: PendingRegistration, now: datetime
) -> Principal | None:
    if registration.identity is None or not registration.partner.everyone:
        return None
    name = render_partner_principal_name(registration.partner.name, registration.identity)
    if stores.directory.by_name(name) is not None or stores.directory.knows_removed(
        name, registration.partner.id
    ):
        return None
    kind = registration.partner.kind
    principal = Principal(
        id=services.new_id(kind.prefix),
        tenant=TENANT,
        kind=kind,
        name=name,
        state=PrincipalState.ACTIVE,
        partner=registration.partner.id,
    )
    stores.directory.add(principal, now)
    event = new_event(
        services,
        EventType.PRINCIPAL_CREATED,
        actor="system",
        at=now,
        data={"principal": principal.id, "kind": kind.value, "partner": registration.partner.id},
        personal={"name": printable(name)},
    )
    stores.outbox.add(event)
    stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    return principal


def _seen_event(
    services: Services,
    registration: PendingRegistration,
    record: CertificateRecord,
    san: Sequence[str],
    now: datetime,
) -> Event:
    return new_event(
        services,
        EventType.CERTIFICATE_SEEN,
        actor="system",
        at=now,
        data={
            "certificate": record.id,
            "partner": registration.partner.id,
            "authority": record.authority_id,
            "principal": record.principal_id,
            "serial": f"{record.serial:x}",
            "sha256": record.sha256,
            "not_before": record.not_before,
            "not_after": record.not_after,
        },
        personal={"subject": printable(record.subject_name), "san": printable(", ".join(san))},
    )
