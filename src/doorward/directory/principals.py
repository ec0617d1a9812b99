"""Persons, devices and services, and the groups they are in.

A name belongs to one principal at a time, of any kind; a removed principal is kept for the record. Its name may be
given to a new principal, which has another id.

    ACTIVE --suspend--> SUSPENDED --resume--> ACTIVE
    ACTIVE, SUSPENDED --remove--> REMOVED (for good; its certificates are revoked)
Suspending and removing void the open invitations, so that a link in a mailbox stops working. They end the sessions as
well: earlier tokens stay refused, even after the principal is resumed.

A group exists from its first use. A misspelt group gives no access (rules name groups exactly), and `.notes` says that
it was created, so that the mistake is seen at once.

Not here: removing and renaming (`removal`), access (policies), certificates (issuing, revocation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from doorward.audit.events import Event, EventType
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.groups import create_within, group_id, member_event, put_into_group
from doorward.directory.invitations import VoidReason, void_open
from doorward.directory.session_ending import end_sessions
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.freed_names import refuse_freed_name
from doorward.stores.prerequisites import require_partner, require_principal, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.stores.partner_records import PartnerRecord

DISPLAY_NAME_LIMIT = 128
"""Characters: enough for names of people, and short enough for a line on a screen."""

GROUPS_LIMIT = 256
"""Groups that one command may name; people are usually in a few dozen."""


def add_principal(
    services: Services,
    kind: PrincipalKind,
    name: str,
    *,
    display_name: str = "",
    groups: Sequence[str] = (),
    keep_rules: bool = False,
    actor: str,
) -> ChangeResult[Principal]:
    """Add an active principal to the directory and to groups; if exactly this principal exists, only `.notes` say so.

    Args:
        services: the ports of this process.
        kind: person, device or service; it cannot be changed later.
        name: `[a-z0-9][a-z0-9._-]{0,62}`; it is part of the certificates, so it cannot be changed either. For a
            partner's principal `<partner>/<identity>`; if its certificates write it differently, `.notes` say so.
        display_name: for screens, at most 128 printable characters.
        groups: names of groups; missing groups are created, and `.notes` say so.
        keep_rules: allow the name even if rules in force name an earlier principal of this name.
        actor: who acts.

    Raises:
        MalformedInput: `name-malformed`, `identity-never-matches`, `subject-malformed`, `display-name-malformed`,
            `too-many-groups`.
        RequestRefused: `name-taken`; `name-in-rules`; `principal-kind` if the partner's principals are of another kind.
        NotFound: `not-founded`; `partner-unknown`.
    """
    partner_name, slash, identity = name.partition("/")
    parse_principal_name(partner_name)
    check_display_name(display_name)
    wanted = check_groups(groups)
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        partner = _find_partner(stores, partner_name, kind) if slash else None
        notes = []
        if partner is not None:
            written, name = name, f"{partner_name}/{_make_identity(partner, identity)}"
            notes = [f"its certificates contain the name {name}"] if name != written else []
        there = stores.directory.by_name(name)
        if there is not None and _is_as_asked(there, kind, display_name, wanted):
            notes.append(f"{name} existed already")
            return ChangeResult(value=there, seq=stores.changes.head(), notes=tuple(notes), changed=False)
        refuse_taken_name(stores, name)
        if not keep_rules:
            refuse_freed_name(stores, kind, name, partner.id if partner else "")
        principal = Principal(
            id=services.new_id(kind.prefix),
            tenant=TENANT,
            kind=kind,
            name=name,
            state=PrincipalState.ACTIVE,
            display_name=display_name,
            partner=partner.id if partner else "",
        )
        create_principal(services, stores, principal, actor=actor, now=now)
        for group in wanted:
            notes += put_into_group(services, stores, group, principal, actor=actor, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
        added = require_principal(stores, name)  # with the groups that its groups lie in
    return ChangeResult(value=added, seq=seq, notes=tuple(notes))


def set_display_name(
    services: Services, name: str, display_name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Set the display name.

    Raises:
        NotFound: `principal-unknown`.
        MalformedInput: `display-name-malformed`.
        RequestRefused: `principal-kind`.
    """
    check_display_name(display_name)
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        if principal.display_name == display_name:
            note = f"{name} had this display name already"
            return ChangeResult(value=principal, seq=stores.changes.head(), notes=(note,))
        stores.directory.set_display_name(principal.id, display_name)
        event = new_event(
            services,
            EventType.PRINCIPAL_CHANGED,
            actor=actor,
            at=now,
            data={"principal": principal.id},
            personal={"name": name, "display_name": display_name},
        )
        stores.outbox.add(event)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    return ChangeResult(value=replace(principal, display_name=display_name), seq=seq)


def suspend(
    services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Take all access from a principal until it is resumed; its certificates do not change.

    Its open invitations are voided and its sessions are ended for good, in the same transaction.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-kind` if `kind` is given and does not match.
    """
    return _set_state(
        services, name, kind, PrincipalState.SUSPENDED, EventType.PRINCIPAL_SUSPENDED, actor=actor
    )


def resume(
    services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Give a suspended principal its access back; raises as `suspend`."""
    return _set_state(services, name, kind, PrincipalState.ACTIVE, EventType.PRINCIPAL_RESUMED, actor=actor)


def create_group(services: Services, group: str, *, actor: str) -> ChangeResult[str]:
    """Create an empty group; if it exists, nothing changes and `.notes` say so."""
    parse_principal_name(group)
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        if stores.directory.has_group(group):
            return ChangeResult(
                value=group, seq=stores.changes.head(), notes=(f"the group {group} existed already",)
            )
        create_within(services, stores, group, actor=actor, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, group_id(group), now)
    return ChangeResult(value=group, seq=seq)


def add_member(
    services: Services, group: str, name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Put a principal into a group, which is created if it does not exist.

    Raises:
        MalformedInput: `name-malformed` (of the group).
        NotFound: `principal-unknown`.
        RequestRefused: `principal-kind` if `kind` is given and does not match.
    """
    parse_principal_name(group)
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        if group in principal.direct_groups:
            note = f"{name} was in {group} already"
            return ChangeResult(value=principal, seq=stores.changes.head(), notes=(note,))
        notes = put_into_group(services, stores, group, principal, actor=actor, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
        joined = require_principal(stores, name)
    return ChangeResult(value=joined, seq=seq, notes=tuple(notes))


def remove_member(
    services: Services, group: str, name: str, *, kind: PrincipalKind | None = None, actor: str
) -> ChangeResult[Principal]:
    """Take a principal out of a group.

    Raises:
        MalformedInput: `name-malformed` (of the group).
        NotFound: `principal-unknown`, `group-unknown`.
        RequestRefused: `principal-kind` if `kind` is given and does not match.
    """
    parse_principal_name(group)
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        if not stores.directory.remove_member(group, principal.id):
            notes = _note_still_in(principal, group) or (f"{name} was not in {group}",)
            return ChangeResult(value=principal, seq=stores.changes.head(), notes=notes)
        removed = EventType.GROUP_MEMBER_REMOVED
        stores.outbox.add(member_event(services, removed, group, principal, actor=actor, now=now))
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
        left = require_principal(stores, name)
    return ChangeResult(value=left, seq=seq, notes=_note_still_in(left, group))


def find_principal(services: Services, name: str, *, kind: PrincipalKind | None = None) -> Principal:
    """Return the principal with that name; raise `NotFound` or `RequestRefused` (`principal-kind`)."""
    with services.work.read() as stores:
        return require_principal(stores, name, kind)


def list_principals(services: Services, kind: PrincipalKind | None = None) -> list[Principal]:
    """Return all principals that are not removed, sorted by name."""
    with services.work.read() as stores:
        return stores.directory.list(kind)


def list_groups(services: Services) -> Mapping[str, int]:
    """Return every group with its number of members, sorted by name."""
    with services.work.read() as stores:
        return stores.directory.groups()


def check_display_name(text: str) -> str:
    """Return the text if it can be shown safely; raise `MalformedInput` (`display-name-malformed`)."""
    if len(text) > DISPLAY_NAME_LIMIT or not text.isprintable() or text != text.strip():
        raise MalformedInput(
            "display-name-malformed",
            "this display name cannot be shown safely",
            hint=f"use at most {DISPLAY_NAME_LIMIT} printable characters, without a space at the start or the end",
        )
    return text


def check_groups(groups: Sequence[str]) -> tuple[str, ...]:
    """Return the checked names without duplicates, sorted; raise `MalformedInput` (`too-many-groups`, `name-malformed`)."""
    if len(groups) > GROUPS_LIMIT:
        raise MalformedInput(
            "too-many-groups",
            f"one command may name {GROUPS_LIMIT} groups at most, not {len(groups)}",
            hint="name the rest in another command",
        )
    return tuple(sorted({parse_principal_name(group) for group in groups}))


def _note_still_in(principal: Principal, group: str) -> tuple[str, ...]:
    """Return a note if the principal is in the group through another group."""
    if group not in principal.inherited:
        return ()
    show = f"doorward {principal.kind.value} show {principal.name}"
    return (f"{principal.name} is still in {group}, through another group: {show}",)


def _is_as_asked(there: Principal, kind: PrincipalKind, display_name: str, groups: tuple[str, ...]) -> bool:
    """Return whether the existing principal is the same as the requested one, so that the command was only repeated."""
    return (
        there.kind is kind
        and there.state is PrincipalState.ACTIVE
        and there.display_name == display_name
        and set(groups) <= set(there.direct_groups)
    )


def create_principal(
    services: Services, stores: Stores, principal: Principal, *, actor: str, now: datetime
) -> None:
    """Add a principal with its event, in the caller's transaction."""
    stores.directory.add(principal, now)
    stores.outbox.add(created_event(services, principal, actor=actor, now=now))


def created_event(services: Services, principal: Principal, *, actor: str, now: datetime) -> Event:
    """Return the event for a new principal."""
    return new_event(
        services,
        EventType.PRINCIPAL_CREATED,
        actor=actor,
        at=now,
        data={"principal": principal.id, "kind": principal.kind.value, "partner": principal.partner},
        personal={"name": principal.name, "display_name": principal.display_name},
    )


def refuse_taken_name(stores: Stores, name: str) -> None:
    """Refuse a name that is in use, and say which principal has it; the store checks again for two calls at the same time."""
    other = stores.directory.by_name(name)
    if other is not None:
        raise RequestRefused(
            "name-taken",
            f"there is a {other.kind.value} named {name}",
            hint="names are unique over persons, devices and services: choose another, or remove that one",
        )


def _make_identity(partner: PartnerRecord, text: str) -> str:
    """Return the identity as the partner's certificates write it; raise if no certificate can contain it."""
    # Most commands concern our own people and should not load the certificate library (record 0049).
    from doorward.verification.identity import IdentityRule, make_identity  # noqa: PLC0415  as said above

    return make_identity(text, IdentityRule(source=partner.source, kind=partner.kind, domain=partner.domain))


def _find_partner(stores: Stores, name: str, kind: PrincipalKind) -> PartnerRecord:
    """Return the partner; refuse if its principals are of another kind."""
    partner = require_partner(stores, name)
    if partner.kind is not kind:
        raise RequestRefused(
            "principal-kind",
            f"certificates of the partner {name} identify a {partner.kind.value}, not a {kind.value}",
            hint=f"doorward {partner.kind.value} add NAME",
        )
    return partner


def _set_state(
    services: Services,
    name: str,
    kind: PrincipalKind | None,
    state: PrincipalState,
    happened: EventType,
    *,
    actor: str,
) -> ChangeResult[Principal]:
    """Change between active and suspended; both directions are always allowed, and a repeat changes nothing."""
    now = services.clock.now()
    with services.work.change() as stores:
        principal = require_principal(stores, name, kind)
        if principal.state is state:
            note = f"{name} was {state.value} already"
            return ChangeResult(value=principal, seq=stores.changes.head(), notes=(note,))
        stores.directory.set_state(principal.id, state)
        stores.outbox.add(state_event(services, happened, principal, actor, now))
        notes: tuple[str, ...] = ()
        if state is PrincipalState.SUSPENDED:
            why = VoidReason.PRINCIPAL_SUSPENDED
            notes = void_open(services, stores, principal, why, actor=actor, now=now)
            end_sessions(services, stores, principal.id, reason=why.value, actor=actor, now=now)
        seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
    return ChangeResult(value=replace(principal, state=state), seq=seq, notes=notes)


def state_event(
    services: Services,
    happened: EventType,
    principal: Principal,
    actor: str,
    now: datetime,
    *,
    reason: str = "",
) -> Event:
    """Return the event for a principal that changed its state."""
    return new_event(
        services,
        happened,
        actor=actor,
        at=now,
        data={"principal": principal.id, "reason": reason},
        personal={"name": principal.name},
    )
