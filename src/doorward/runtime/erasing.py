"""Erasing personal values of the log: those about one principal, or old ones of a retention class.

The leaves stay, so every proof and checkpoint does; the values count as redacted. Each transaction deletes little, so no
withdrawal waits long. The erasure itself is an event, recorded before the first value is erased.

Not here: the stored values (`storage.event_store`), copies outside of the tables (`Database.remove_remains`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from doorward.audit.events import EventType, Retention, build_event
from doorward.audit.leaf import SALT_BYTES, seal_event
from doorward.audit.log import EventStore
from doorward.core.entities import TENANT
from doorward.runtime.compose import Installation


class Erased(NamedTuple):
    """How many values were erased, and whether their copies outside of the tables are gone too."""

    values: int
    copies_gone: bool


def erase_principal(installation: Installation, principal_id: str, *, actor: str) -> Erased:
    """Erase every personal value about a principal, who may have been removed."""
    return _erase(
        installation,
        lambda store: store.erase_subject(TENANT, principal_id),
        actor,
        {"principal": principal_id},
    )


def erase_before(installation: Installation, retention: Retention, before: datetime, *, actor: str) -> Erased:
    """Erase the personal values of a retention class of events before that time (aware)."""
    return _erase(
        installation,
        lambda store: store.erase_before(retention, before),
        actor,
        {"kind": retention.value, "to_at": before},
    )


def _erase(
    installation: Installation,
    erase: Callable[[EventStore], int],
    actor: str,
    data: dict[str, str | datetime],
) -> Erased:
    services, log = installation.services, installation.event_log
    event = build_event(
        id=services.new_id("evt"),
        type=EventType.PERSONAL_ERASED,
        at=services.clock.now(),
        tenant=TENANT,
        actor=actor,
        data=data,
    )
    total = 0
    with installation.database.erasing():
        with log.change() as store:
            store.record(seal_event(event, services.random.token(SALT_BYTES)))
        while True:
            with log.change() as store:
                erased = erase(store)
            if not erased:
                break
            total += erased
    return Erased(total, installation.database.remove_remains())
