"""How the use cases write events: the envelope around what happened.

A value from outside that does not fit its field is made to fit (`audit.fitting`): it must never keep the event, or
what the event is about, from being stored.

Not here: what may be in an event (audit.catalogue) and where it goes (the outbox of the transaction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from doorward.audit.events import MAX_PUBLIC_CHARACTERS, Event, EventType, build_event
from doorward.audit.fitting import fit_data, fit_personal
from doorward.core.entities import TENANT
from doorward.stores.services import Services

Public = Mapping[str, str | int | bool | datetime | Sequence[str]]


def write_event(
    services: Services,
    kind: EventType,
    *,
    actor: str,
    data: Public,
    personal: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Event:
    """Return an event of this moment (or of `at`); values that are empty are left out, being unknown."""
    return build_event(
        id=services.new_id("evt"),
        type=kind,
        at=services.clock.now() if at is None else at,
        tenant=TENANT,
        actor=actor,
        data=fit_data(
            kind,
            {name: value for name, value in data.items() if value not in ("", ())},
            MAX_PUBLIC_CHARACTERS,
        ),
        personal=fit_personal({name: value for name, value in (personal or {}).items() if value}),
    )
