"""Carrying out a planned import, some dozen entries in each transaction.

An entry is written with its events and its number in the change sequence in one transaction. So an import that was
killed has whole entries only, and the same command adds the rest: entries that are there already are left as they are.
Each transaction looks at its entries once more, because another command may have changed them since the plan.

A transaction is short, because a withdrawal waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.directory.groups import create_within, put_into_group
from doorward.directory.importing.columns import Entry
from doorward.directory.importing.factory_serials import FactorySerials
from doorward.directory.importing.planning import FreedNames, Plan, is_as_said
from doorward.directory.principals import create_principal
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
        update: set the names on screens, and add to groups. No principal leaves a group.
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
        with services.work.change() as stores:
            step.run(stores, batch)
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

    def run(self, stores: Stores, entries: Sequence[Entry]) -> None:
        require_tenant(stores)
        now = self._services.clock.now()
        freed = FreedNames(stores, self._kind, keep_rules=self._keep_rules)
        serials = FactorySerials(stores)
        for entry in entries:
            there = stores.directory.by_name(entry.name)
            if serials.find_fault(entry, there.id if there else "") is not None:
                self.done.overtaken.append(entry.name)
            elif there is None and freed.find_fault(entry) is None:
                principal = self._add(stores, entry, now)
                serials.state(self._services, entry, principal.id, actor=self._actor, now=now)
            elif there is None or there.kind is not self._kind:
                self.done.overtaken.append(entry.name)
            elif is_as_said(there, entry) and serials.is_stated(entry, there.id):
                continue  # another run of the same command was here
            elif self._update:
                self._bring_to(stores, there, entry, now)
                serials.state(self._services, entry, there.id, actor=self._actor, now=now)
            else:
                self.done.overtaken.append(entry.name)

    def _add(self, stores: Stores, entry: Entry, now: datetime) -> Principal:
        principal = Principal(
            id=self._services.new_id(self._kind.prefix),
            tenant=TENANT,
            kind=self._kind,
            name=entry.name,
            state=PrincipalState.ACTIVE,
            display_name=entry.display_name or "",
        )
        create_principal(self._services, stores, principal, actor=self._actor, now=now)
        self._put_into(stores, principal, entry.groups, now)
        self.done.seq = stores.changes.note(ChangeKind.PRINCIPAL, principal.id, now)
        self.done.added.append(entry.name)
        return principal

    def _bring_to(self, stores: Stores, there: Principal, entry: Entry, now: datetime) -> None:
        if entry.display_name is not None and entry.display_name != there.display_name:
            stores.directory.set_display_name(there.id, entry.display_name)
            event = new_event(
                self._services,
                EventType.PRINCIPAL_CHANGED,
                actor=self._actor,
                at=now,
                data={"principal": there.id},
                personal={"name": there.name, "display_name": entry.display_name},
            )
            stores.outbox.add(event)
            there = replace(there, display_name=entry.display_name)
        self._put_into(stores, there, [one for one in entry.groups if one not in there.direct_groups], now)
        self.done.seq = stores.changes.note(ChangeKind.PRINCIPAL, there.id, now)
        self.done.updated.append(entry.name)

    def _put_into(self, stores: Stores, principal: Principal, groups: Sequence[str], now: datetime) -> None:
        for group in groups:
            put_into_group(self._services, stores, group, principal, actor=self._actor, now=now)
