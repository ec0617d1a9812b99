"""The operator's part of just-in-time registration: list the enrolments, approve and refuse them.

Approving a device puts it into the directory, with a name and groups, in the transaction that changes its enrolment. The
device gets its certificate at its next contact (`admission`).

Not here: the states (`states`), approval without an operator.
Standard: docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from doorward.audit.events import EventType, printable
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.enrolment_events import new_enrolment_event
from doorward.directory.fleets.states import EnrolmentStep, next_state
from doorward.directory.groups import put_into_group
from doorward.directory.principals import create_principal, refuse_taken_name
from doorward.stores.change_result import ChangeResult
from doorward.stores.fleet_records import DeviceEnrolmentRecord, EnrolmentState
from doorward.stores.freed_names import refuse_freed_name
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

WAITING = (EnrolmentState.PENDING, EnrolmentState.DUPLICATE)


def list_waiting(services: Services) -> list[DeviceEnrolmentRecord]:
    """Return the enrolments that wait for an operator, oldest first."""
    with services.work.read() as stores:
        return stores.device_enrolments.list(states=WAITING, limit=100_000)


def approve(
    services: Services, enrolment_id: str, *, name: str, groups: Sequence[str] = (), actor: str
) -> ChangeResult[DeviceEnrolmentRecord]:
    """Approve one device; at its next contact it gets its certificate.

    Args:
        services: the ports of this process.
        enrolment_id: `den_…`.
        name: the device's name; for a duplicate it must be empty or the name that it has.
        groups: names of groups; missing groups are created, and `.notes` say so.
        actor: who approves.

    Raises:
        NotFound: `enrolment-unknown`.
        MalformedInput: `name-malformed`.
        RequestRefused: `enrolment-state`, `name-taken`, `name-in-rules`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        before = require_enrolment(stores, enrolment_id)
        state = next_state(before.state, EnrolmentStep.APPROVE)
        principal, notes = _find_or_create(services, stores, before, name, groups, actor=actor, now=now)
        after = replace(
            before, state=state, reason="", principal_id=principal.id, decided_by=actor, decided_at=now
        )
        _advance(stores, before, after)
        stores.outbox.add(
            new_enrolment_event(services, EventType.DEVICE_APPROVED, after, actor=actor, name=principal.name)
        )
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    return ChangeResult(value=after, seq=seq, notes=tuple(notes))


def refuse(services: Services, enrolment_id: str, *, actor: str) -> ChangeResult[DeviceEnrolmentRecord]:
    """Refuse one device: it gets no certificate until an operator approves it; raises as `approve`.

    A duplicate is refused, and the device keeps the certificate that it has.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        before = require_enrolment(stores, enrolment_id)
        state = next_state(before.state, EnrolmentStep.REFUSE)
        after = replace(before, state=state, reason="by-operator", decided_by=actor, decided_at=now)
        _advance(stores, before, after)
        stores.outbox.add(new_enrolment_event(services, EventType.DEVICE_REFUSED, after, actor=actor))
        seq = stores.changes.head()
    return ChangeResult(value=after, seq=seq)


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


def _find_or_create(
    services: Services,
    stores: Stores,
    enrolment: DeviceEnrolmentRecord,
    name: str,
    groups: Sequence[str],
    *,
    actor: str,
    now: datetime,
) -> tuple[Principal, list[str]]:
    """Return the device of an enrolment: the one that it has, or a new one."""
    known = stores.directory.get(enrolment.principal_id) if enrolment.principal_id else None
    if known is not None and known.state is not PrincipalState.REMOVED:
        return known, []
    parse_principal_name(name)
    for group in groups:
        parse_principal_name(group)
    refuse_taken_name(stores, name)
    refuse_freed_name(stores, PrincipalKind.DEVICE, name, "")
    device = Principal(
        id=services.new_id(PrincipalKind.DEVICE.prefix),
        tenant=TENANT,
        kind=PrincipalKind.DEVICE,
        name=name,
        state=PrincipalState.ACTIVE,
    )
    create_principal(services, stores, device, actor=actor, now=now)
    notes = []
    for group in sorted(set(groups)):
        notes += put_into_group(services, stores, group, device, actor=actor, now=now)
    return device, notes


def _advance(stores: Stores, before: DeviceEnrolmentRecord, after: DeviceEnrolmentRecord) -> None:
    if not stores.device_enrolments.advance(before, after):
        raise RequestRefused("enrolment-state", f"{before.id} changed at the same moment", hint="try again")
