"""Carrying out a planned import, some dozen entries in each transaction.

An entry is written with its events and its number in the change sequence in one transaction. So an import that was
killed has whole entries only, and the same command adds the rest: entries that are there already are left as they are.
Each transaction looks at its entries once more, because another command may have changed them since the plan.

A transaction is short, because a withdrawal waits for it: what needs no look at the database is made before it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from doorward.audit.events import Event, EventType
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound
from doorward.directory.groups import create_within, member_event
from doorward.directory.importing.columns import Entry
from doorward.directory.importing.factory_serials import FactorySerials
from doorward.directory.importing.planning import FreedNames, Plan, is_as_said
from doorward.directory.mail_addresses import new_address_event
from doorward.directory.principals import created_event
from doorward.stores.events import new_event
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

BATCH = 64
"""Entries in one transaction: it holds the write lock for some hundredths of a second. A withdrawal waits for one transaction
at most, because the lock is fair between processes; more entries in each would save only commits."""


@dataclass(slots=True)
class Imported:
    """What an import did.

    Args:
        added: names of new principals.
        updated: names of principals that were brought to what the file says.
        overtaken: names that another command took or changed since the plan; the import left them as they are.
        groups: names of new groups.
        seq: the number of the last change, or of the newest one before the import.
    """

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    seq: int = 0


Progress = Callable[[int, int], None]


def run_import(
    services: Services,
    plan: Plan,
    *,
    update: bool = False,
    keep_rules: bool = False,
    actor: str,
    progress: Progress = lambda _done, _total: None,
) -> Imported:
    """Add the new entries of a plan, with the groups that are missing; with `update` also change the differing ones.

    Args:
        services: the ports of this process.
        plan: the caller has refused or accepted its faults and its missing groups.
        update: set the names on screens and mail addresses, and add to groups. No principal leaves a group.
        keep_rules: as for `principals.add_principal`.
        actor: who acts.
        progress: called after each transaction with the number of entries that are done, and of all.
    """
    done = Imported()
    work = (*plan.new, *(plan.differing if update else ()))
    with services.work.read() as stores:
        done.seq = stores.changes.head()
    if plan.missing_groups:
        done.groups = _create_groups(services, plan.missing_groups, actor=actor)
    count = 0
    for batch in (work[at : at + BATCH] for at in range(0, len(work), BATCH)):
        step = _Step(services, plan.kind, update=update, keep_rules=keep_rules, actor=actor)
        step.prepare(batch)
        with services.work.change() as stores:
            step.run(stores)
        done.added += step.done.added
        done.updated += step.done.updated
        done.overtaken += step.done.overtaken
        done.seq = max(done.seq, step.done.seq)
        count += len(batch)
        progress(count, len(work))
    return done


def _create_groups(services: Services, groups: Sequence[str], *, actor: str) -> list[str]:
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        known = stores.directory.groups()
        missing = [group for group in groups if group not in known]
        for group in missing:
            create_within(services, stores, group, actor=actor, now=now)
    return missing


class _Step:
    """One transaction of an import; its results count only if it is committed."""

    def __init__(
        self, services: Services, kind: PrincipalKind, *, update: bool, keep_rules: bool, actor: str
    ) -> None:
        self._services = services
        self._kind = kind
        self._update = update
        self._keep_rules = keep_rules
        self._actor = actor
        self.done = Imported()
        self._now = services.clock.now()
        self._ready: list[tuple[Entry, Principal, list[Event]]] = []
        self._events: list[Event] = []

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Make what the entries need if they are new: ids, and half of the time of a transaction, the events."""
        for entry in entries:
            principal = Principal(
                id=self._services.new_id(self._kind.prefix),
                tenant=TENANT,
                kind=self._kind,
                name=entry.name,
                state=PrincipalState.ACTIVE,
                display_name=entry.display_name or "",
            )
            events = [created_event(self._services, principal, actor=self._actor, now=self._now)]
            events += [self._joined(group, principal) for group in entry.groups]
            self._ready.append((entry, principal, events))

    def run(self, stores: Stores) -> None:
        """Write the prepared entries."""
        require_tenant(stores)
        freed = FreedNames(stores, self._kind, keep_rules=self._keep_rules)
        serials = FactorySerials(stores)
        for entry, principal, events in self._ready:
            there = stores.directory.by_name(entry.name)
            if serials.find_fault(entry, there.id if there else "") is not None:
                self.done.overtaken.append(entry.name)
            elif there is None and freed.find_fault(entry) is None:
                self._add(stores, entry, principal, events)
                serials.state(self._services, entry, principal.id, actor=self._actor, now=self._now)
            elif there is None or there.kind is not self._kind:
                self.done.overtaken.append(entry.name)
            elif is_as_said(stores, there, entry) and serials.is_stated(entry, there.id):
                continue  # another run of the same command was here
            elif self._update:
                self._bring_to(stores, there, entry)
                serials.state(self._services, entry, there.id, actor=self._actor, now=self._now)
            else:
                self.done.overtaken.append(entry.name)
        stores.outbox.add_all(self._events)

    def _add(self, stores: Stores, entry: Entry, principal: Principal, events: Sequence[Event]) -> None:
        stores.directory.add(principal, self._now)
        self._put_into(stores, principal, entry.groups)
        self._events += events
        self._set_address(stores, principal, entry)
        self.done.seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, self._now)
        self.done.added.append(entry.name)

    def _bring_to(self, stores: Stores, there: Principal, entry: Entry) -> None:
        if entry.display_name is not None and entry.display_name != there.display_name:
            stores.directory.set_display_name(there.id, entry.display_name)
            event = new_event(
                self._services,
                EventType.PRINCIPAL_CHANGED,
                actor=self._actor,
                at=self._now,
                data={"principal": there.id},
                personal={"name": there.name, "display_name": entry.display_name},
            )
            self._events.append(event)
        self._set_address(stores, there, entry)
        joined = [one for one in entry.groups if one not in there.direct_groups]
        self._put_into(stores, there, joined)
        self._events += [self._joined(group, there) for group in joined]
        self.done.seq = stores.changes.note(ChangeKind.PRINCIPAL, there.id, self._now)
        self.done.updated.append(entry.name)

    def _set_address(self, stores: Stores, principal: Principal, entry: Entry) -> None:
        if entry.email is not None and stores.mail_addresses.set(principal.id, entry.email):
            event = new_address_event(self._services, principal, entry.email, actor=self._actor)
            self._events.append(event)

    def _put_into(self, stores: Stores, principal: Principal, groups: Sequence[str]) -> None:
        for group in groups:
            try:
                stores.directory.add_member(group, principal.id)
            except NotFound:  # it was removed since the plan
                create_within(self._services, stores, group, actor=self._actor, now=self._now)
                stores.directory.add_member(group, principal.id)

    def _joined(self, group: str, principal: Principal) -> Event:
        added = EventType.GROUP_MEMBER_ADDED
        return member_event(self._services, added, group, principal, actor=self._actor, now=self._now)
