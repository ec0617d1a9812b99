"""How the use cases write events: the envelope around what happened.

Not here: what may be in an event (audit.catalogue) and where it goes (the outbox of the transaction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from doorward.audit.events import Event, EventType, build_event
from doorward.authority.services import Services
from doorward.core.entities import TENANT

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
        data={name: value for name, value in data.items() if value not in ("", ())},
        personal={name: value for name, value in (personal or {}).items() if value},
    )
