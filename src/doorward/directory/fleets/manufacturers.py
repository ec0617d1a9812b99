"""Manufacturers: import the authorities of their factories, list them, remove them.

A manufacturer's authority is a record of its own. No door trusts it: its devices may only ask for a certificate of ours.
So one authority is never a manufacturer's and a partner's at the same time, and never one of our own: otherwise every
device from the factory would be a principal at the door without an approval.

Not here: judging a factory certificate (`judging`), the checks of a partner's import (`partners.importing`).
Standard: IEEE 802.1AR-2018; docs/design/0081.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.audit.events import Event, EventType, printable
from doorward.authority.holder_certificates import live_certificates
from doorward.authority.revocation import revoke_within
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.core.certificate import RevocationReason
from doorward.core.entities import TENANT
from doorward.core.errors import ConfigurationError, Fault, MalformedInput, NotFound, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.tags import refuse_unknown_tag
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.fleet_records import (
    DeviceEnrolmentRecord,
    EnrolmentState,
    ManufacturerAuthorityRecord,
    ManufacturerRecord,
    SerialStanding,
)
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.verification.import_lint import LintCode, LintFinding, Severity, lint_authorities
from doorward.verification.nesting import find_nesting
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs

MOST_AUTHORITIES = 50
"""Of one manufacturer; a large one has a dozen product lines."""

DEFAULT_MOST_PENDING, LARGEST_MOST_PENDING = 1_000, 100_000
"""Devices that may wait for an operator: enough for a delivery, few enough for a list."""

MOST_DEVICES = 1_000_000
_PAGE = 200
_WITH_CERTIFICATE = (EnrolmentState.ENROLLED, EnrolmentState.DUPLICATE, EnrolmentState.APPROVED)

_ABOUT_PARTNERS = frozenset(
    {
        LintCode.NAMES_UNCONSTRAINED,
        LintCode.NAMES_PARTLY_CONSTRAINED,
        LintCode.STATUS_ADDRESS_MISSING,
        LintCode.STATUS_ADDRESS_NOT_HTTP,
        LintCode.VALIDITY_LONG,
        LintCode.PATH_LENGTH_UNLIMITED,
        LintCode.OTHER_PARTNER,
        LintCode.SUBJECT_OF_OTHER_PARTNER,
    }
)
"""Findings that mean nothing here: no name of a factory certificate is trusted, nothing is fetched, and an authority of a
factory is made to last as long as the device. A partner's authority is an error here: see `_refuse_overlap`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManufacturerState:
    """A manufacturer with its authorities, the findings of its import, its devices by state and its number of barred ones."""

    manufacturer: ManufacturerRecord
    authorities: tuple[ManufacturerAuthorityRecord, ...]
    findings: tuple[LintFinding, ...] = ()
    devices: tuple[tuple[EnrolmentState, int], ...] = ()
    barred: int = 0


def import_manufacturer(
    services: Services,
    name: str,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    tag: str = "",
    most_pending: int = DEFAULT_MOST_PENDING,
    actor: str,
) -> ChangeResult[ManufacturerState]:
    """Import a manufacturer: its devices may ask for certificates.

    Args:
        services: the ports of this process.
        name: `[a-z0-9][a-z0-9._-]{0,62}`.
        anchors: authorities that certify its devices, or that certify those; DER; at least one.
        intermediates: authorities between them and the devices, DER.
        tag: the tag of its devices; empty if an operator approves each of them.
        most_pending: at most this many devices wait for an operator; 1 to 100,000.
        actor: who acts.

    Raises:
        MalformedInput: `name-malformed`; `anchor-missing`, `import-too-large`; a certificate cannot be read.
        ConfigurationError: every error that the lint found.
        RequestRefused: `name-taken`; `limit-refused`; `tag-unknown`; `authority-in-use`: it, or one that it certifies or
            that certifies it, is a partner's or another manufacturer's.
        NotFound: `not-founded`.
    """
    parse_principal_name(name)
    _check_limit(most_pending)
    now = services.clock.now()
    ders = (*anchors, *intermediates)
    parsed = _parse(anchors, intermediates)
    manufacturer = ManufacturerRecord(
        id=services.new_id("mfr"),
        tenant=TENANT,
        name=name,
        tag=tag,
        most_pending=most_pending,
        created_at=now,
    )
    authorities = tuple(
        ManufacturerAuthorityRecord(
            id=services.new_id("aut"),
            tenant=TENANT,
            manufacturer_id=manufacturer.id,
            sha256=one.sha256,
            anchor=place < len(anchors),
            der=ders[place],
            not_after=one.not_after,
            created_at=now,
        )
        for place, one in enumerate(parsed)
    )
    imported = _build_imported(services, manufacturer, authorities, actor)
    with services.work.change() as stores:
        require_tenant(stores)
        _check_tag(stores, tag)
        # Also in the transaction: an authority that becomes our own or a partner's at the same moment is seen.
        found = _lint(stores, parsed, len(anchors), now=now)
        _refuse_errors(found, parsed)
        _refuse_overlap(stores, parsed)
        stores.manufacturers.add(manufacturer, authorities)
        stores.outbox.add(imported)
        seq = stores.changes.head()
    value = ManufacturerState(manufacturer=manufacturer, authorities=authorities, findings=found)
    return ChangeResult(value=value, seq=seq)


def _build_imported(
    services: Services,
    manufacturer: ManufacturerRecord,
    authorities: Sequence[ManufacturerAuthorityRecord],
    actor: str,
) -> Event:
    """Return the event of an import: the first authorities by their digest, and the digest of all."""
    digests = sorted(one.sha256 for one in authorities)
    return new_event(
        services,
        EventType.MANUFACTURER_IMPORTED,
        actor=actor,
        at=manufacturer.created_at,
        data={
            "manufacturer": manufacturer.id,
            "manufacturer_name": manufacturer.name,
            "anchors": [one.sha256 for one in authorities if one.anchor][:MOST_AUTHORITIES],
            "number": len(digests),
            "tag_name": manufacturer.tag,
            "sha256": hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest(),
        },
    )


def change_manufacturer(
    services: Services,
    name: str,
    *,
    tag: str | None = None,
    most_pending: int | None = None,
    actor: str,
) -> ChangeResult[ManufacturerState]:
    """Give a manufacturer another tag or limit; devices that wait are judged by it at their next contact.

    Args:
        services: the ports of this process.
        name: of the manufacturer.
        tag: empty: an operator approves its devices, or their serial numbers are expected; None leaves the tag as it is.
        most_pending: as for `import_manufacturer`; None leaves the limit as it is. Devices that wait already stay.
        actor: who acts.

    Raises:
        NotFound: `manufacturer-unknown`, `tag-unknown`.
        RequestRefused: `limit-refused`.
    """
    with services.work.change() as stores:
        before = require_manufacturer(stores, name)
        after = replace(
            before,
            tag=before.tag if tag is None else tag,
            most_pending=before.most_pending if most_pending is None else most_pending,
        )
        _check_limit(after.most_pending)
        _check_tag(stores, after.tag)
        notes: tuple[str, ...] = ()
        if after == before:
            notes = (f"{name} is so already",)
        else:
            stores.manufacturers.change(after.id, tag=after.tag, most_pending=after.most_pending)
            data: dict[str, str | int] = {
                "manufacturer": after.id,
                "manufacturer_name": name,
                "number": after.most_pending,
                "tag_name": after.tag,
            }
            stores.outbox.add(new_event(services, EventType.MANUFACTURER_CHANGED, actor=actor, data=data))
        return ChangeResult(value=_read_state(stores, after), seq=stores.changes.head(), notes=notes)


def list_manufacturers(services: Services) -> list[ManufacturerState]:
    """Return the manufacturers that are not removed, sorted by name."""
    with services.work.read() as stores:
        require_tenant(stores)
        return [_read_state(stores, one) for one in stores.manufacturers.list()]


def find_manufacturer(services: Services, name: str) -> ManufacturerState:
    """Return a manufacturer; raise `NotFound` (`manufacturer-unknown`)."""
    with services.work.read() as stores:
        return _read_state(stores, require_manufacturer(stores, name))


def describe_authority(authority: ManufacturerAuthorityRecord) -> str:
    """Return the subject of an authority as RFC 4514 text, safe for a screen."""
    try:
        return printable(parse_path_certificate(authority.der).subject_text or "no subject", 200)
    except MalformedInput:
        return "a certificate that cannot be read"


def remove_manufacturer(
    services: Services, name: str, *, revoke_devices: bool = False, forget_barred: bool = False, actor: str
) -> ChangeResult[ManufacturerRecord]:
    """Remove a manufacturer: its devices that wait are forgotten; those with a certificate keep it.

    Args:
        services: the ports of this process.
        name: of the manufacturer.
        revoke_devices: revoke the certificates of its devices too. They are revoked in short transactions before the
            manufacturer is removed, so an interrupted command can be repeated; what was issued meanwhile follows in the
            transaction of the removal.
        forget_barred: forget its barred serial numbers too: after a later import they would get certificates.
        actor: who acts.

    Raises:
        NotFound: `manufacturer-unknown`, `not-founded`.
        RequestRefused: `barred-serials`, before anything is revoked.
    """
    if not forget_barred:
        with services.work.read() as stores:
            _refuse_bars(stores, require_manufacturer(stores, name))
    revoked = _revoke_devices(services, name, actor=actor) if revoke_devices else 0
    now = services.clock.now()
    with services.work.change() as stores:
        found = require_manufacturer(stores, name)
        if not forget_barred:
            _refuse_bars(stores, found)
        if revoke_devices:
            rest = stores.device_enrolments.list(
                states=_WITH_CERTIFICATE, manufacturer_id=found.id, limit=MOST_DEVICES
            )
            revoked += _revoke_page(services, stores, rest, actor=actor)
        stores.manufacturers.remove(found.id, now)
        stores.factory_serials.remove_all(found.id)
        counts = stores.device_enrolments.count(found.id)
        waiting = stores.device_enrolments.remove(found.id, [EnrolmentState.PENDING, EnrolmentState.APPROVED])
        event = new_event(
            services,
            EventType.MANUFACTURER_REMOVED,
            actor=actor,
            at=now,
            data={"manufacturer": found.id, "manufacturer_name": name, "number": waiting},
        )
        stores.outbox.add(event)
        seq = stores.changes.head()
    notes = [f"{waiting} of its devices waited for a certificate and were forgotten"] if waiting else []
    enrolled = counts.get(EnrolmentState.ENROLLED, 0) + counts.get(EnrolmentState.DUPLICATE, 0)
    if enrolled:
        kept = "and keep them; --revoke-devices would revoke them"
        notes.append(
            f"{revoked} certificates of its devices were revoked"
            if revoke_devices
            else f"{enrolled} of its devices have certificates of ours {kept}"
        )
    return ChangeResult(value=replace(found, removed_at=now), seq=seq, notes=tuple(notes))


def _refuse_bars(stores: Stores, manufacturer: ManufacturerRecord) -> None:
    """Refuse to forget bars: the same manufacturer may be imported again."""
    barred = stores.factory_serials.count_in(manufacturer.id, SerialStanding.BARRED)
    if barred:
        raise RequestRefused(
            "barred-serials",
            f"{barred} serial numbers of {manufacturer.name} are barred, and would not be after a later import",
            hint=f"`doorward manufacturer barred {manufacturer.name}` lists them, to bar them again after an import; --forget-barred removes it now",
        )


def _revoke_devices(services: Services, name: str, *, actor: str) -> int:
    """Revoke the certificates of a manufacturer's devices in short transactions; return how many."""
    count, after = 0, ""
    while True:
        with services.work.change() as stores:
            found = require_manufacturer(stores, name)
            page = stores.device_enrolments.list(
                states=_WITH_CERTIFICATE, manufacturer_id=found.id, after_id=after, limit=_PAGE
            )
            count += _revoke_page(services, stores, page, actor=actor)
        if len(page) < _PAGE:
            return count
        after = page[-1].id


def _revoke_page(
    services: Services, stores: Stores, page: Sequence[DeviceEnrolmentRecord], *, actor: str
) -> int:
    signer, now = signer_if_any(services, stores), services.clock.now()
    count = 0
    for principal_id in sorted({one.principal_id for one in page if one.principal_id}):
        for record in live_certificates(stores, principal_id, now):
            reason = RevocationReason.CESSATION_OF_OPERATION
            revoke_within(services, stores, signer, record.id, reason, actor=actor, now=now)
            count += 1
    return count


def require_manufacturer(stores: Stores, name: str) -> ManufacturerRecord:
    """Return the manufacturer with this name; raise `NotFound` (`manufacturer-unknown`, `not-founded`)."""
    require_tenant(stores)
    found = stores.manufacturers.by_name(name)
    if found is None:
        raise NotFound(
            "manufacturer-unknown",
            f"there is no manufacturer named {printable(name)[:64]}",
            hint="`doorward manufacturer list` names them, `doorward manufacturer import` adds one",
        )
    return found


def _check_limit(most_pending: int) -> None:
    if not 0 < most_pending <= LARGEST_MOST_PENDING:
        raise RequestRefused(
            "limit-refused",
            f"{most_pending} devices cannot be the most that wait",
            hint=f"choose 1 to {LARGEST_MOST_PENDING}",
        )


def _check_tag(stores: Stores, tag: str) -> None:
    if tag and stores.enrolment_tags.by_name(tag) is None:
        raise refuse_unknown_tag(tag)


def _read_state(stores: Stores, manufacturer: ManufacturerRecord) -> ManufacturerState:
    counts = stores.device_enrolments.count(manufacturer.id)
    return ManufacturerState(
        manufacturer=manufacturer,
        authorities=tuple(stores.manufacturers.authorities(manufacturer.id)),
        devices=tuple((state, counts[state]) for state in EnrolmentState if state in counts),
        barred=stores.factory_serials.count_in(manufacturer.id, SerialStanding.BARRED),
    )


def _parse(anchors: Sequence[bytes], intermediates: Sequence[bytes]) -> tuple[PathCertificate, ...]:
    if not anchors:
        raise MalformedInput(
            "anchor-missing",
            "there is no trust anchor",
            hint="give the certificate of the factory's authority: --from ca.pem",
        )
    if len(anchors) + len(intermediates) > MOST_AUTHORITIES:
        raise MalformedInput(
            "import-too-large",
            f"there are {len(anchors) + len(intermediates)} authorities, and a manufacturer may have {MOST_AUTHORITIES}",
            hint="import only the authorities of the devices that you have",
        )
    return tuple(parse_path_certificate(der) for der in (*anchors, *intermediates))


def _lint(
    stores: Stores, parsed: Sequence[PathCertificate], anchors: int, *, now: datetime
) -> tuple[LintFinding, ...]:
    """Return the findings of the lint that matter for a manufacturer."""
    found = lint_authorities(
        parsed[:anchors],
        parsed[anchors:],
        own=[parse_path_certificate(one.der) for one in stores.authorities.list()],
        others={},
        inputs=PathInputs(),
        now=now,
    )
    return tuple(one for one in found if one.code not in _ABOUT_PARTNERS)


def _refuse_overlap(stores: Stores, parsed: Sequence[PathCertificate]) -> None:
    """Refuse an authority of a partner, which doors may trust, or of another manufacturer: the tags could differ.

    Also one that certifies such an authority, or is certified by one: a device below both could choose by its chain.
    """
    owners = _read_owners(stores)
    keys = {(one.key_algorithm, one.key_bits): owner for one, owner in owners.items()}
    for one in parsed:
        owner_of_key = keys.get((one.key_algorithm, one.key_bits))
        if owner_of_key:
            raise _in_use(one, f"has the same key as an authority of {owner_of_key}")
    nesting = find_nesting(parsed, owners)
    if nesting is not None:
        raise _in_use(nesting.imported, f"{nesting.relation} an authority of {owners[nesting.other]}")


def _read_owners(stores: Stores) -> dict[PathCertificate, str]:
    """Return the authorities of manufacturers and partners, each with its owner; those that do not parse are left out."""
    owners = {}
    for other in stores.manufacturers.list():
        for authority in stores.manufacturers.authorities(other.id):
            owners[authority.der] = f"the manufacturer {other.name}"
    for partner in stores.partners.list():
        for theirs in stores.partners.authorities(partner.id):
            owners[theirs.der] = f"the partner {partner.name}"
    parsed = {}
    for der, owner in owners.items():
        with suppress(MalformedInput):
            parsed[parse_path_certificate(der)] = owner
    return parsed


def _in_use(one: PathCertificate, relation: str) -> RequestRefused:
    return RequestRefused(
        "authority-in-use",
        f"{printable(one.subject_text, 200)} {relation}",
        hint="a door never trusts a manufacturer's authority: remove it there first, or leave it out here",
    )


def _refuse_errors(found: Sequence[LintFinding], parsed: Sequence[PathCertificate]) -> None:
    subjects = {one.sha256: printable(one.subject_text or "no subject", 200) for one in parsed}
    faults = [
        Fault(
            code=one.code.value,
            message=f"{subjects[one.certificate]} ({one.certificate[:16]}): {one.code.value}, {one.text}",
            hint=one.code.mend.replace("partner", "manufacturer"),
        )
        for one in found
        if one.code.severity is Severity.ERROR
    ]
    if faults:
        raise ConfigurationError(faults)
