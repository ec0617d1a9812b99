"""The events of a device's enrolment.

The serial number and the subject of a factory certificate identify a device and, through it, its owner: they are
personal fields. Not here: the fields of each type (audit.catalogue).
"""

from __future__ import annotations

from doorward.audit.events import Event, EventType
from doorward.stores.events import new_event
from doorward.stores.fleet_records import DeviceEnrolmentRecord
from doorward.stores.services import Services


def new_enrolment_event(
    services: Services,
    kind: EventType,
    enrolment: DeviceEnrolmentRecord,
    *,
    actor: str = "",
    name: str = "",
) -> Event:
    """Return an event about an enrolment as it is after the step; without an actor, the enrolment is the actor."""
    return new_event(
        services,
        kind,
        actor=actor or enrolment.id,
        data={
            "device_enrolment": enrolment.id,
            "manufacturer": enrolment.manufacturer_id,
            "sha256": enrolment.fingerprint,
            "principal": enrolment.principal_id,
            "certificate": enrolment.certificate_id,
            "reason": enrolment.reason,
        },
        personal={
            "name": name,
            "factory_serial": enrolment.serial,
            "subject": enrolment.subject,
            "source": "" if actor else enrolment.source,
        },
    )
