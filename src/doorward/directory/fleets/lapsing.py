"""The end of an approval that was not used: the device waits for an operator again.

An operator approves one device with one key, for some time. So an approval ends
    another-key     if the device comes with another key than the one that the operator saw: it may be another machine
    approval-ended  after `device_approval_days`: the list of that day is forgotten, and the device may be in other hands
    invited         if an operator makes a link for the same device: the later act counts, and a device has one claim
Each end is an event `device:pending` with the reason (`device:duplicate` if the device had a certificate), and the device is
in `doorward device pending` again. No rule approves it then: its reasons are looked at by an operator.

Not here: the way back from a link to an approval, which withdraws the link (`approving`).
Standard: docs/design/0090.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from doorward.audit.events import EventType
from doorward.directory.fleets.enrolment_events import new_enrolment_event
from doorward.directory.fleets.states import EnrolmentStep, next_state
from doorward.stores.fleet_records import DeviceEnrolmentRecord, EnrolmentState
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

ANOTHER_KEY, ENDED, INVITED = "another-key", "approval-ended", "invited"
LAPSED = frozenset({ANOTHER_KEY, ENDED, INVITED})


def approval_end(approved: DeviceEnrolmentRecord, lifetime: timedelta) -> datetime:
    """Return when an approval ends; `lifetime` is `Services.approval_lifetime`."""
    return (approved.decided_at or approved.created_at) + lifetime


def find_end(approved: DeviceEnrolmentRecord, wanted_key: str, lifetime: timedelta, now: datetime) -> str:
    """Return why an approval is over for a device that comes with this key; empty if it is not.

    While an enrolment is approved, its `wanted_key` is the key that the operator saw.
    """
    if wanted_key != approved.wanted_key:
        return ANOTHER_KEY
    return ENDED if now >= approval_end(approved, lifetime) else ""


def lapse_within(
    services: Services,
    stores: Stores,
    approved: DeviceEnrolmentRecord,
    why: str,
    *,
    counted: DeviceEnrolmentRecord | None = None,
) -> DeviceEnrolmentRecord:
    """End an approval in the caller's transaction; return the enrolment, which waits again.

    Args:
        services: the ports of this process.
        stores: of that transaction.
        approved: as it is in that transaction.
        why: one of `LAPSED`.
        counted: the same with the contact that ended it; None if an operator did.
    """
    had_one = bool(approved.certificate_id)
    step = EnrolmentStep.REPEAT if had_one else EnrolmentStep.LAPSE
    waiting = replace(counted or approved, state=next_state(approved.state, step), reason=why)
    stores.device_enrolments.advance(approved, waiting)
    kind = EventType.DEVICE_DUPLICATE if had_one else EventType.DEVICE_PENDING
    stores.outbox.add(new_enrolment_event(services, kind, waiting))
    return waiting


def lapse_for_link(services: Services, stores: Stores, principal_id: str) -> tuple[str, ...]:
    """End the approvals of a device for which a link is made, in the caller's transaction; return the notes for the operator."""
    notes = []
    for one in stores.device_enrolments.by_principal(principal_id):
        if one.state is EnrolmentState.APPROVED:
            lapse_within(services, stores, one, INVITED)
            notes.append(f"the approval of {one.id} was withdrawn: the link takes its place")
    return tuple(notes)
