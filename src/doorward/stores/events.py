"""How the use cases make events: they add the id, the time and the tenant.

A value from outside that does not fit its field is changed until it fits (`audit.fitting`). A strange value must never
prevent the event, or the change that it records, from being stored.

Not here: which fields an event has (audit.catalogue), storing it (the outbox of the transaction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from doorward.audit.events import MAX_PUBLIC_CHARACTERS, Event, EventType, build_event
from doorward.audit.fitting import fit_data, fit_personal
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput
from doorward.stores.services import Services

Public = Mapping[str, str | int | bool | datetime | Sequence[str]]


def new_event(
    services: Services,
    kind: EventType,
    *,
    actor: str,
    data: Public,
    personal: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Event:
    """Return an event of this moment (or of `at`). An empty value means unknown and is left out."""
    build = partial(
        build_event,
        id=services.new_id("evt"),
        type=kind,
        at=services.clock.now() if at is None else at,
        tenant=TENANT,
        actor=actor,
    )
    known = {name: value for name, value in data.items() if value not in ("", ())}
    about = {name: value for name, value in (personal or {}).items() if value}
    try:
        return build(data=known, personal=about)  # nearly every event fits as it is, and is checked once
    except MalformedInput:
        return build(data=fit_data(kind, known, MAX_PUBLIC_CHARACTERS), personal=fit_personal(about))
