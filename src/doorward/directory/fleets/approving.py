"""Approving and refusing devices: by the operator, or by the rule of a tag.

Approving a device puts it into the directory, with a name and groups, in the transaction that changes its enrolment. The
device gets its certificate at its next contact (`admission`). Each device has a transaction of its own: of many, some may
be refused, and the others are done.

Not here: the states (`states`), what a tag allows (`rules`).
Standard: docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.audit.events import EventType, printable
from doorward.authority.holder_certificates import has_certificate
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import DoorwardError, MalformedInput, NotFound, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.enrolment_events import new_enrolment_event
from doorward.directory.fleets.rules import (
    RuleDecision,
    make_groups,
    make_name,
    refuse_barred,
)
from doorward.directory.fleets.states import EnrolmentStep, next_state
from doorward.directory.groups import put_into_group
from doorward.directory.invitations import VoidReason, void_open
from doorward.directory.principals import create_principal, refuse_taken_name
from doorward.stores.change_result import ChangeResult
from doorward.stores.fleet_records import DeviceEnrolmentRecord, EnrolmentState
from doorward.stores.freed_names import refuse_freed_name
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

WAITING = (EnrolmentState.PENDING, EnrolmentState.DUPLICATE)
AGAIN = "again"
"""The reason of an approved enrolment of a device that had a certificate, by this enrolment or a link: the next one
replaces it."""

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an operator wants for one device.

    Args:
        enrolment_id: `den_…`.
        name: empty: made by the template of its tag.
        groups: beside those of its tag.
        only_new: the operator named many devices at once, so approve this one only if it is new: see `approve`.
        key: the digest of the key that the operator saw; empty: the one that the device asked with last.
    """

    enrolment_id: str
    name: str = ""
    groups: tuple[str, ...] = ()
    only_new: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to one wish: the enrolment and the name, or the error."""

    wish: Wish
    enrolment: DeviceEnrolmentRecord | None = None
    name: str = ""
    error: DoorwardError | None = None
    notes: tuple[str, ...] = ()


def list_enrolments(
    services: Services, *, manufacturer_id: str = "", states: Sequence[EnrolmentState] = WAITING
) -> Iterator[tuple[DeviceEnrolmentRecord, str]]:
    """Yield enrolments in the order of their first contact, each with the name of its device (empty if none)."""
    after = ""
    while True:
        with services.work.read() as stores:
            page = stores.device_enrolments.list(
                states=states, manufacturer_id=manufacturer_id, after_id=after, limit=_PAGE
            )
            found = [(one, _name_of(stores, one)) for one in page]
        yield from found
        if len(page) < _PAGE:
            return
        after = page[-1].id


def find_enrolments(services: Services, enrolment_ids: Sequence[str]) -> list[DeviceEnrolmentRecord | None]:
    """Return the enrolments with these ids, in the same order; None for one that does not exist."""
    with services.work.read() as stores:
        return [stores.device_enrolments.get(one) for one in enrolment_ids]


def approve_each(services: Services, wishes: Iterable[Wish], *, actor: str) -> Iterator[Outcome]:
    """Approve devices one by one, and yield what happened to each; a refusal does not end the others."""
    for wish in wishes:
        try:
            done = approve(
                services,
                wish.enrolment_id,
                name=wish.name,
                groups=wish.groups,
                only_new=wish.only_new,
                key=wish.key,
                actor=actor,
            )
        except (RequestRefused, MalformedInput) as error:
            yield Outcome(wish=wish, error=error)
            continue
        with services.work.read() as stores:
            name = _name_of(stores, done.value)
        yield Outcome(wish=wish, enrolment=done.value, name=name, notes=done.notes)


def refuse_each(services: Services, enrolment_ids: Iterable[str], *, actor: str) -> Iterator[Outcome]:
    """Refuse devices one by one, and yield what happened to each."""
    for one in enrolment_ids:
        try:
            done = refuse(services, one, actor=actor)
        except RequestRefused as error:
            yield Outcome(wish=Wish(enrolment_id=one), error=error)
            continue
        yield Outcome(wish=Wish(enrolment_id=one), enrolment=done.value, notes=done.notes)


def approve(
    services: Services,
    enrolment_id: str,
    *,
    name: str = "",
    groups: Sequence[str] = (),
    only_new: bool = False,
    key: str = "",
    actor: str,
) -> ChangeResult[DeviceEnrolmentRecord]:
    """Approve one device; at its next contact with the same key it gets its certificate.

    The approval is for the factory certificate and the key of the last request, and ends: see `lapsing`.

    Args:
        services: the ports of this process.
        enrolment_id: `den_…`.
        name: the device's name; empty: as the template of its tag makes it. A device that is in the directory already
            keeps its name. The name of a device of the directory that has no certificate means this device.
        groups: names of groups, beside those of its tag; missing groups are created, and `.notes` say so.
        only_new: refuse a duplicate, a refused device and a possible clone. An operator approves each of them by its id.
        key: the digest that the operator saw (SHA-256 of the SubjectPublicKeyInfo, hex, with or without colons), or how it
            begins; empty: the one that the device asked with last.
        actor: who approves.

    Raises:
        NotFound: `enrolment-unknown`.
        MalformedInput: `name-malformed`.
        RequestRefused: `enrolment-state`, `enrolment-key-changed`, `device-not-new`, `name-taken`, `name-in-rules`, `template-missing`,
            `template-unusable`, `group-unknown`; `device-has-name`: another name than the one that it has;
            `manufacturer-removed`; `serial-barred`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        before = require_enrolment(stores, enrolment_id)
        next_state(before.state, EnrolmentStep.APPROVE)
        if only_new:
            _refuse_not_new(before)
        if not before.wanted_key.startswith(key.replace(":", "").lower()):
            raise RequestRefused(
                "enrolment-key-changed",
                f"the device asked with another key meanwhile: {before.wanted_key[:16]}",
                hint="look at it again: `doorward device pending`",
            )
        decision = _make_decision(stores, before, name, groups, actor)
        after, notes = approve_within(services, stores, before, decision, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, after.principal_id, now)
    return ChangeResult(value=after, seq=seq, notes=tuple(notes))


def approve_within(
    services: Services,
    stores: Stores,
    before: DeviceEnrolmentRecord,
    decision: RuleDecision,
    *,
    now: datetime,
) -> tuple[DeviceEnrolmentRecord, list[str]]:
    """Carry a decision out in the caller's transaction; return the enrolment and the notes for the operator."""
    principal, notes = decision.principal, list[str]()
    if principal is None:
        principal = _create(services, stores, decision.name, actor=decision.actor, now=now)
    else:
        # The later act of an operator counts, and a device has one claim; no rule comes here if there is a link (`rules`).
        notes += void_open(services, stores, principal, VoidReason.SUPERSEDED, actor=decision.actor, now=now)
    replaces = bool(before.certificate_id) or has_certificate(stores, principal.id)
    for group in decision.groups:
        if group not in principal.direct_groups:
            notes += put_into_group(services, stores, group, principal, actor=decision.actor, now=now)
    after = replace(
        before,
        state=next_state(before.state, EnrolmentStep.APPROVE),
        reason=AGAIN if replaces else "",
        principal_id=principal.id,
        decided_by=decision.actor,
        decided_at=now,
    )
    _advance(stores, before, after)
    approved = EventType.DEVICE_APPROVED
    stores.outbox.add(
        new_enrolment_event(services, approved, after, actor=decision.actor, name=principal.name)
    )
    return after, notes


def refuse(services: Services, enrolment_id: str, *, actor: str) -> ChangeResult[DeviceEnrolmentRecord]:
    """Refuse one device: it gets no certificate until an operator approves it; raises as `approve`.

    A duplicate is refused, and the device keeps the certificate that it has.
    """
    now = services.clock.now()
    notes = []
    with services.work.change() as stores:
        before = require_enrolment(stores, enrolment_id)
        state = next_state(before.state, EnrolmentStep.REFUSE)
        after = replace(before, state=state, reason="operator", decided_by=actor, decided_at=now)
        _advance(stores, before, after)
        name = _name_of(stores, before)
        stores.outbox.add(
            new_enrolment_event(services, EventType.DEVICE_REFUSED, after, actor=actor, name=name)
        )
        if before.state is EnrolmentState.DUPLICATE:
            notes.append(f"{name} keeps the certificate that it has")
        elif name:
            notes.append(
                f"{name} stays in the directory, without a certificate: doorward device remove {name}"
            )
        seq = stores.changes.head()
    return ChangeResult(value=after, seq=seq, notes=tuple(notes))


def is_suspicious(enrolment: DeviceEnrolmentRecord) -> bool:
    """Return whether the enrolment may be of a clone: it repeats, or has several keys or addresses."""
    return (
        enrolment.state is EnrolmentState.DUPLICATE
        or enrolment.reason == "serial-known"
        or (enrolment.keys, enrolment.sources) != (1, 1)
    )


def require_enrolment(stores: Stores, enrolment_id: str) -> DeviceEnrolmentRecord:
    """Return an enrolment; raise `NotFound` (`enrolment-unknown`)."""
    found = stores.device_enrolments.get(enrolment_id)
    if found is None:
        raise NotFound(
            "enrolment-unknown",
            f"there is no enrolment {printable(enrolment_id)[:64]}",
            hint="`doorward device pending` shows the devices that wait",
        )
    return found


def _refuse_not_new(enrolment: DeviceEnrolmentRecord) -> None:
    """Raise `RequestRefused` (`device-not-new`) unless the device waits for the first time and seems to be no clone."""
    if enrolment.state is EnrolmentState.PENDING and not is_suspicious(enrolment):
        return
    was_refused = enrolment.state is EnrolmentState.REFUSED
    raise RequestRefused(
        "device-not-new",
        "an operator refused this device" if was_refused else "this device may be a clone",
        hint=f"if it is good, approve it by its id: doorward device approve {enrolment.id}",
    )


def _make_decision(
    stores: Stores, before: DeviceEnrolmentRecord, name: str, groups: Sequence[str], actor: str
) -> RuleDecision:
    """Return the operator's decision, filled in by the tag of the manufacturer."""
    for group in groups:
        parse_principal_name(group)
    manufacturer = stores.manufacturers.get(before.manufacturer_id)
    if manufacturer is None or manufacturer.removed_at is not None:
        raise RequestRefused(
            "manufacturer-removed",
            "the manufacturer of this device was removed, so it could get no certificate",
            hint="`doorward manufacturer import` comes first",
        )
    refuse_barred(stores, before)
    device = _find_device(stores, before, name)
    if device is not None:
        return RuleDecision(approved=True, principal=device, groups=tuple(sorted(set(groups))), actor=actor)
    tag = stores.enrolment_tags.by_name(manufacturer.tag) if manufacturer.tag else None
    name = parse_principal_name(name) if name else make_name(before, manufacturer, tag)
    refuse_taken_name(stores, name)
    refuse_freed_name(stores, PrincipalKind.DEVICE, name, "")
    every = {*groups, *make_groups(stores, before, manufacturer, tag)}
    return RuleDecision(approved=True, name=name, groups=tuple(sorted(every)), actor=actor)


def _find_device(stores: Stores, before: DeviceEnrolmentRecord, name: str) -> Principal | None:
    """Return the device of the directory that is meant: the one of the enrolment, or one that the operator named.

    A named device must be an active one of ours without a certificate: a second certificate would be a second device.
    """
    known = stores.directory.get(before.principal_id) if before.principal_id else None
    if known is not None and known.state is not PrincipalState.REMOVED:
        if name not in ("", known.name):
            raise RequestRefused(
                "device-has-name",
                f"this device is {known.name}, and keeps its name",
                hint=f"leave --name out; to make it another device, `doorward device remove {known.name}` comes first",
            )
        return known
    named = stores.directory.by_name(name) if name else None
    if named is None or named.kind is not PrincipalKind.DEVICE or named.partner:
        return None  # a name of another kind is refused as taken
    if named.state is PrincipalState.ACTIVE and not has_certificate(stores, named.id):
        return named
    return None


def _create(services: Services, stores: Stores, name: str, *, actor: str, now: datetime) -> Principal:
    device = Principal(
        id=services.new_id(PrincipalKind.DEVICE.prefix),
        tenant=TENANT,
        kind=PrincipalKind.DEVICE,
        name=name,
        state=PrincipalState.ACTIVE,
    )
    create_principal(services, stores, device, actor=actor, now=now)
    return device


def _name_of(stores: Stores, enrolment: DeviceEnrolmentRecord) -> str:
    device = stores.directory.get(enrolment.principal_id) if enrolment.principal_id else None
    return device.name if device is not None and device.state is not PrincipalState.REMOVED else ""


def _advance(stores: Stores, before: DeviceEnrolmentRecord, after: DeviceEnrolmentRecord) -> None:
    if not stores.device_enrolments.advance(before, after):
        raise RequestRefused("enrolment-state", f"{before.id} changed at the same moment", hint="try again")
