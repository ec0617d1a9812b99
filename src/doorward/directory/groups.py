"""Groups: creating and removing them.

A group has no identity but its name: rules, partners' terms and events refer to the name. A group exists from its first
use, and is removed only if no rule and no partner names it any more (`freed_names`).
Not here: members (`principals`), groups in groups (`nesting`).
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import lru_cache

from doorward.audit.events import Event, EventType
from doorward.core.entities import TENANT, Principal
from doorward.core.errors import NotFound
from doorward.core.names import parse_principal_name
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.freed_names import refuse_group_in_use
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services


def remove_group(services: Services, group: str, *, actor: str) -> ChangeResult[str]:
    """Remove a group that no rule and no partner names; its members stay in the directory. `.notes` say if it did not exist.

    It is also taken out of other groups, and groups in it are taken out.

    Raises:
        MalformedInput: `name-malformed`.
        RequestRefused: `group-in-use`.
    """
    parse_principal_name(group)
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        refuse_group_in_use(stores, group)
        for inner, outer in stores.directory.nestings():
            if group in (inner, outer):
                unnest_within(services, stores, outer, inner, actor=actor, now=now)
        members = stores.directory.members(group)
        if not stores.directory.remove_group(group):
            return ChangeResult(
                value=group, seq=stores.changes.head(), notes=(f"there is no group named {group}",)
            )
        data = {"group": group_id(group), "group_name": group}
        stores.outbox.add(new_event(services, EventType.GROUP_REMOVED, actor=actor, at=now, data=data))
        for one in members:
            stores.changes.note(ChangeKind.PRINCIPAL, one.id, now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, group_id(group), now)
    return ChangeResult(value=group, seq=seq)


@lru_cache(maxsize=4096)
def group_id(group: str) -> str:
    """Return the id of a group: a digest of its name, because rules refer to groups by name."""
    digest = hashlib.sha256(f"{TENANT}\n{group}".encode()).digest()
    return "grp_" + base64.b32encode(digest).decode("ascii").lower()[:20]


def create_within(services: Services, stores: Stores, group: str, *, actor: str, now: datetime) -> None:
    """Create a group in the caller's transaction; raise `RequestRefused` (`name-taken`) if it exists."""
    stores.directory.add_group(group, group_id(group), now)
    data = {"group": group_id(group), "group_name": group}
    stores.outbox.add(new_event(services, EventType.GROUP_CREATED, actor=actor, at=now, data=data))


def put_into_group(
    services: Services, stores: Stores, group: str, principal: Principal, *, actor: str, now: datetime
) -> list[str]:
    """Put a principal into a group, which is created if it does not exist; return the notes for the operator."""
    notes = []
    try:
        stores.directory.add_member(group, principal.id)
    except NotFound:
        create_within(services, stores, group, actor=actor, now=now)
        stores.directory.add_member(group, principal.id)
        notes.append(f"the group {group} did not exist and was created")
    added = EventType.GROUP_MEMBER_ADDED
    stores.outbox.add(member_event(services, added, group, principal, actor=actor, now=now))
    return notes


def member_event(
    services: Services, happened: EventType, group: str, principal: Principal, *, actor: str, now: datetime
) -> Event:
    """Return the event for a membership that began or ended."""
    return new_event(
        services,
        happened,
        actor=actor,
        at=now,
        data={"group": group_id(group), "group_name": group, "principal": principal.id},
        personal={"name": principal.name},
    )


def unnest_within(
    services: Services, stores: Stores, outer: str, inner: str, *, actor: str, now: datetime
) -> int | None:
    """Take a group out of a group in the caller's transaction; return the number of the change; None if it was not in it."""
    if not stores.directory.unnest(inner, outer):
        return None
    unnested = EventType.GROUP_UNNESTED
    stores.outbox.add(nesting_event(services, unnested, outer, inner, actor=actor, now=now))
    return stores.changes.note(ChangeKind.GROUP, group_id(inner), now)


def nesting_event(
    services: Services, happened: EventType, outer: str, inner: str, *, actor: str, now: datetime
) -> Event:
    """Return the event for a group that was put into a group, or taken out."""
    data = {
        "group": group_id(outer),
        "group_name": outer,
        "inner": group_id(inner),
        "inner_name": inner,
    }
    return new_event(services, happened, actor=actor, at=now, data=data)
