"""The fake of `stores.protocols.UnitOfWork`: every store in memory, with real transactions.

A change works on a copy of the state that takes the old one's place at the end, so an exception
leaves nothing behind and a reader keeps the snapshot it opened. `tests/contract` holds it to the
same words as the SQL stores. For tests of use cases:

- `work.events` are all events that became durable, in order;
- `work.broken = Unavailable(...)` makes every following transaction fail that way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from doorward.audit.block import SealedBlock
from doorward.audit.events import Event
from doorward.core.entities import TENANT, Application, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import DoorwardError, IntegrityError, NotFound, RequestRefused, Unavailable
from doorward.core.ports import ChangeNotifier
from doorward.stores.group_graph import GroupGraph
from doorward.stores.records import (
    ChangeKind,
    ChangeRecord,
    GatewayRecord,
    InvitationRecord,
    OrderRecord,
    OrderState,
    RevisionRecord,
    TenantRecord,
)
from tests.support.events import open_block
from tests.support.memory_authorities import MemoryAuthorities, MemoryRollovers
from tests.support.memory_deltas import MemoryDeltas
from tests.support.memory_factors import (
    MemoryEnrolmentTickets,
    MemoryEpochs,
    MemoryFactors,
    MemoryHolderNotes,
    MemorySessionCodes,
    MemorySessionKeys,
    MemorySessions,
    MemoryStepUps,
    MemoryThrottles,
)
from tests.support.memory_inventory import MemoryCertificates, State, Store
from tests.support.memory_lines import MemorySuspectedClones
from tests.support.memory_notices import MemoryNoticeStores
from tests.support.memory_partners import MemoryEvidence, MemoryPartners
from tests.support.memory_status import MemoryStatus
from tests.support.ports import CountingNotifier


class MemoryTenants(Store):
    """The fake of `TenantStore`."""

    def get(self) -> TenantRecord | None:
        return self.state.tenants.get(self.tenant)

    def add(self, tenant: TenantRecord) -> None:
        state = self.writable(tenant.id)
        if tenant.id in state.tenants:
            raise RequestRefused("tenant-exists", "this data directory has a tenant already")
        state.tenants[tenant.id] = tenant


class MemoryDirectory(Store):
    """The fake of `DirectoryStore`; groups are kept beside the principals."""

    def add(self, principal: Principal, created_at: datetime) -> None:
        state = self.writable(principal.tenant)
        if self.by_name(principal.name) is not None:
            raise RequestRefused("name-taken", f"the name {principal.name} is in use")
        state.principals[principal.id] = replace(principal, groups=())
        for group in principal.direct_groups:
            self.add_member(group, principal.id)

    def get(self, principal_id: str) -> Principal | None:
        found = self.state.principals.get(principal_id)
        if found is None:
            return None
        direct = [group for group, member in self.state.members if member == principal_id]
        groups = self.enclosing(direct)
        return replace(found, groups=groups, inherited=tuple(one for one in groups if one not in direct))

    def read_ahead(self, principal_ids: Collection[str]) -> None:
        """Nothing is faster here."""

    def by_name(self, name: str) -> Principal | None:
        for principal in self.state.principals.values():
            if principal.name == name and principal.state is not PrincipalState.REMOVED:
                return self.get(principal.id)
        return None

    def list(self, kind: PrincipalKind | None = None) -> list[Principal]:
        wanted = [
            self.get(principal.id)
            for principal in self.state.principals.values()
            if principal.state is not PrincipalState.REMOVED and kind in (None, principal.kind)
        ]
        return sorted((p for p in wanted if p is not None), key=lambda p: p.name)

    def set_state(self, principal_id: str, state: PrincipalState) -> None:
        principal = self._known(principal_id)
        if state is not PrincipalState.REMOVED:
            other = self.by_name(principal.name)
            if other is not None and other.id != principal_id:
                raise RequestRefused("name-taken", f"the name {principal.name} is in use")
        self.state.principals[principal_id] = replace(principal, state=state)

    def set_display_name(self, principal_id: str, display_name: str) -> None:
        self.state.principals[principal_id] = replace(self._known(principal_id), display_name=display_name)

    def members(self, group: str) -> list[Principal]:
        return [one for one in MemoryDirectory.list(self) if group in one.groups]

    def remove_group(self, group: str) -> bool:
        for key in [key for key in self.writable().members if key[0] == group]:
            self.state.members.pop(key)
        for pair in [pair for pair in self.state.nestings if group in pair]:
            self.state.nestings.pop(pair)
        return self.state.groups.pop(group, None) is not None

    def knows_removed(self, name: str, partner_id: str) -> bool:
        gone = (name, partner_id, PrincipalState.REMOVED)
        return any((p.name, p.partner, p.state) == gone for p in self.state.principals.values())

    def remove_partner(self, partner_id: str) -> int:
        found = [p for p in self.writable().principals.values() if p.partner == partner_id]
        living = [p for p in found if p.state is not PrincipalState.REMOVED]
        for one in living:
            self.set_state(one.id, PrincipalState.REMOVED)
        return len(living)

    def add_group(self, name: str, group_id: str, created_at: datetime) -> None:
        if name in self.writable().groups:
            raise RequestRefused("name-taken", f"the group {name} exists")
        self.state.groups[name] = group_id

    def groups(self) -> Mapping[str, int]:
        gone = {p.id for p in self.state.principals.values() if p.state is PrincipalState.REMOVED}
        counts = dict.fromkeys(sorted(self.state.groups), 0)
        for group, principal_id in self.state.members:
            counts[group] += principal_id not in gone
        return counts

    def has_group(self, name: str) -> bool:
        return name in self.state.groups

    def add_member(self, group: str, principal_id: str) -> bool:
        self._known(principal_id, group)
        if (group, principal_id) in self.state.members:
            return False
        self.state.members[group, principal_id] = True
        return True

    def remove_member(self, group: str, principal_id: str) -> bool:
        self._known(principal_id, group)
        return self.state.members.pop((group, principal_id), False)

    def nestings(self) -> Sequence[tuple[str, str]]:
        return sorted(self.state.nestings)

    def enclosing(self, groups: Iterable[str]) -> tuple[str, ...]:
        graph = GroupGraph(self.state.nestings)
        return tuple(sorted(frozenset[str]().union(*map(graph.with_ancestors, groups))))

    def nest(self, inner: str, outer: str) -> bool:
        self._known_groups(inner, outer)
        there = (inner, outer) in self.state.nestings
        self.state.nestings[inner, outer] = True
        return not there

    def unnest(self, inner: str, outer: str) -> bool:
        self._known_groups(inner, outer)
        return self.state.nestings.pop((inner, outer), False)

    def _known_groups(self, *groups: str) -> None:
        for group in groups:
            if group not in self.writable().groups:
                raise NotFound("group-unknown", f"there is no group named {group}")

    def _known(self, principal_id: str, group: str | None = None) -> Principal:
        state = self.writable()
        self._known_groups(*([] if group is None else [group]))
        if principal_id not in state.principals:
            raise NotFound("principal-unknown", "there is no such principal")
        return state.principals[principal_id]


class MemoryApplications(Store):
    """The fake of `ApplicationStore`."""

    def list(self) -> list[Application]:
        found = [application for application, here in self.state.applications.values() if here]
        return sorted(found, key=lambda application: application.name)

    def add(self, application: Application, created_at: datetime) -> None:
        state = self.writable(application.tenant)
        if any(here.name == application.name for here in self.list()):
            raise RequestRefused("name-taken", f"the application {application.name} exists")
        state.applications[application.id] = (application, True)

    def remove(self, application_id: str, removed_at: datetime) -> None:
        application, here = self.writable().applications.get(application_id, (None, False))
        if application is None or not here:
            raise NotFound("application-unknown", "there is no such application")
        self.state.applications[application_id] = (application, False)


class MemoryInvitations(Store):
    """The fake of `InvitationStore`."""

    def add(self, invitation: InvitationRecord) -> None:
        if self.by_token(invitation.token_sha256) is not None:
            raise IntegrityError("invitation-duplicate", "this token was handed out before")
        self.writable(invitation.tenant).invitations[invitation.id] = invitation

    def by_token(self, token_sha256: str) -> InvitationRecord | None:
        return next((i for i in self.state.invitations.values() if i.token_sha256 == token_sha256), None)

    def redeem(self, invitation_id: str, certificate_id: str, used_at: datetime) -> bool:
        kept = self.writable().invitations.get(invitation_id)
        if kept not in self.open_at(used_at):
            return False
        self.state.invitations[invitation_id] = replace(kept, used_at=used_at, certificate_id=certificate_id)
        return True

    def get(self, invitation_id: str) -> InvitationRecord | None:
        return self.state.invitations.get(invitation_id)

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[InvitationRecord]:
        return [one for one in self._unused(principal_id) if one.voided_at is None and one.expires_at > now]

    def unused_since(self, principal_id: str, since: datetime) -> list[InvitationRecord]:
        return [one for one in self._unused(principal_id) if one.created_at >= since]

    def _unused(self, of: str | None) -> list[InvitationRecord]:
        kept = [one for one in self.state.invitations.values() if of in (None, one.principal_id)]
        return sorted((one for one in kept if one.used_at is None), key=lambda one: (one.created_at, one.id))

    def void(self, invitation_id: str, voided_at: datetime) -> bool:
        kept = self.writable().invitations.get(invitation_id)
        if kept is None or kept.used_at is not None or kept.voided_at is not None:
            return False
        self.state.invitations[invitation_id] = replace(kept, voided_at=voided_at)
        return True


class MemoryRevisions(Store):
    """The fake of `RevisionStore`."""

    def latest(self) -> RevisionRecord | None:
        return self.state.revisions.get(len(self.state.revisions))

    def get(self, number: int) -> RevisionRecord | None:
        return self.state.revisions.get(number)

    def list(self, limit: int = 50) -> list[RevisionRecord]:
        return sorted(self.state.revisions.values(), key=lambda one: -one.number)[:limit]

    def add(self, revision: RevisionRecord) -> None:
        kept = self.writable(revision.tenant).revisions
        if revision.number != len(kept) + 1:
            raise RequestRefused("revision-conflict", "someone else made a revision meanwhile")
        kept[revision.number] = revision


class MemoryChanges(Store):
    """The fake of `ChangeStore`."""

    def head(self) -> int:
        return len(self.state.changes)

    def note(self, kind: ChangeKind, subject: str, at: datetime) -> int:
        kept = self.writable().changes
        seq = len(kept) + 1
        kept[seq] = ChangeRecord(seq=seq, tenant=self.tenant, kind=kind, subject=subject, at=at)
        return seq

    def note_all(self, kind: ChangeKind, subjects: Sequence[str], at: datetime) -> list[int]:
        return [self.note(kind, subject, at) for subject in subjects]

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        return [change for number, change in self.state.changes.items() if number > seq][:limit]


class MemoryOutbox(Store):
    """The fake of `EventOutbox`; it is never emptied."""

    def add(self, event: Event) -> None:
        kept = self.writable(event.tenant).events
        if event.id in kept:
            raise IntegrityError("event-duplicate", "an event with this id was recorded before")
        kept[event.id] = event

    def add_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self.add(event)

    def add_block(self, block: SealedBlock) -> None:
        self.add_all(open_block(block))

    def waiting(self) -> int:
        return len(self.state.events)


class MemoryGateways(Store):
    """The fake of `GatewayStore`."""

    def save(self, gateway: GatewayRecord) -> None:
        self.writable(gateway.tenant).gateways[gateway.id] = gateway

    def confirm(self, gateway_id: str, seq: int, seen_at: datetime, status: str) -> None:
        kept = self.writable().gateways.get(gateway_id)
        if kept is None:
            raise NotFound("gateway-unknown", "there is no such gateway")
        changed = replace(kept, confirmed_seq=seq, seen_at=seen_at, status=status)
        self.state.gateways[gateway_id] = changed

    def list(self) -> list[GatewayRecord]:
        return sorted(self.state.gateways.values(), key=lambda gateway: (gateway.name, gateway.id))

    def remove(self, gateway_id: str) -> None:
        self.writable().gateways.pop(gateway_id, None)


class MemoryOrders(Store):
    """The fake of `OrderStore`."""

    def add(self, order: OrderRecord) -> None:
        self.writable(order.tenant).orders[order.id] = replace(order, state=OrderState.OPEN)

    def get(self, order_id: str) -> OrderRecord | None:
        return self.state.orders.get(order_id)

    def open(self) -> list[OrderRecord]:
        found = [order for order in self.state.orders.values() if order.state is OrderState.OPEN]
        return sorted(found, key=lambda order: (order.created_at, order.id))

    def fill(self, order_id: str, certificate_id: str) -> bool:
        return self._answer(order_id, state=OrderState.FILLED, certificate_id=certificate_id)

    def refuse(self, order_id: str, why: str) -> bool:
        return self._answer(order_id, state=OrderState.REFUSED, refusal=why)

    def _answer(self, order_id: str, **values: object) -> bool:
        kept = self.writable().orders.get(order_id)
        if kept is None or kept.state is not OrderState.OPEN:
            return False
        self.state.orders[order_id] = replace(kept, **values)  # type: ignore[arg-type]  # as the callers name them
        return True


class MemoryIngest(Store):
    """The fake of `IngestStore`."""

    def position(self, gateway_id: str, file: str) -> int:
        return self.state.positions.get((gateway_id, file), 0)

    def advance(self, gateway_id: str, file: str, expected: int, offset: int) -> None:
        if self.position(gateway_id, file) != expected:
            raise IntegrityError("ingest-moved", "another reader took these lines")
        self.writable().positions[gateway_id, file] = offset

    def counts(self, gateway_id: str, stream: str) -> str:
        return self.state.counts.get((gateway_id, stream), "")

    def store_counts(self, gateway_id: str, stream: str, state: str) -> None:
        self.writable().counts[gateway_id, stream] = state


class MemoryStores(MemoryNoticeStores):
    """All stores over the state of one transaction."""

    def __init__(self, state: State, tenant: str, *, write: bool) -> None:
        super().__init__(state, tenant, write=write)
        self.tenants = MemoryTenants(state, tenant, write=write)
        self.directory = MemoryDirectory(state, tenant, write=write)
        self.applications = MemoryApplications(state, tenant, write=write)
        self.authorities = MemoryAuthorities(state, tenant, write=write)
        self.certificates = MemoryCertificates(state, tenant, write=write)
        self.invitations = MemoryInvitations(state, tenant, write=write)
        self.revisions = MemoryRevisions(state, tenant, write=write)
        self.changes = MemoryChanges(state, tenant, write=write)
        self.outbox = MemoryOutbox(state, tenant, write=write)
        self.gateways = MemoryGateways(state, tenant, write=write)
        self.orders = MemoryOrders(state, tenant, write=write)
        self.status = MemoryStatus(state, tenant, write=write)
        self.deltas = MemoryDeltas(state, tenant, write=write)
        self.ingest = MemoryIngest(state, tenant, write=write)
        self.partners = MemoryPartners(state, tenant, write=write)
        self.evidence = MemoryEvidence(state, tenant, write=write)
        self.factors = MemoryFactors(state, tenant, write=write)
        self.enrolment_tickets = MemoryEnrolmentTickets(state, tenant, write=write)
        self.sessions = MemorySessions(state, tenant, write=write)
        self.step_ups = MemoryStepUps(state, tenant, write=write)
        self.session_codes = MemorySessionCodes(state, tenant, write=write)
        self.epochs = MemoryEpochs(state, tenant, write=write)
        self.throttles = MemoryThrottles(state, tenant, write=write)
        self.holder_notes = MemoryHolderNotes(state, tenant, write=write)
        self.session_keys = MemorySessionKeys(state, tenant, write=write)
        self.suspected_clones = MemorySuspectedClones(state, tenant, write=write)
        self.rollovers = MemoryRollovers(state, tenant, write=write)


class _Mark:
    """Equal to another mark of the same state only."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Mark) and other._state is self._state

    def __hash__(self) -> int:
        return id(self._state)


class MemoryUnitOfWork:
    """The fake of `UnitOfWork`, for one tenant; one writer at a time."""

    def __init__(self, notifier: ChangeNotifier | None = None, tenant: str = TENANT) -> None:
        self.notifier = notifier if notifier is not None else CountingNotifier()
        self.tenant = tenant
        self.broken: DoorwardError | None = None
        self.full = False
        self.state = State()
        self._writer = threading.Lock()
        self._inside = threading.local()

    @property
    def events(self) -> list[Event]:
        """Every event that became durable, oldest first."""
        return list(self.state.events.values())

    @contextmanager
    def read(self) -> Iterator[MemoryStores]:
        self._fail_where_told()
        yield MemoryStores(self.state, self.tenant, write=False)

    @contextmanager
    def change(self, *, traffic: bool = False) -> Iterator[MemoryStores]:
        self._fail_where_told()
        if traffic and self.full:
            raise Unavailable("store-full", "there is no room left for the database")
        if getattr(self._inside, "change", False):
            raise RuntimeError("a change within a change of the same thread would wait for itself")
        with self._writer:
            self._inside.change = True
            try:
                state = self.state.copy()
                yield MemoryStores(state, self.tenant, write=True)
                moved = len(state.changes) > len(self.state.changes)
                if moved:
                    self.notifier.announce()
                self.state = state
            finally:
                self._inside.change = False
        if moved:
            self.notifier.notify()

    def record(self, events: Sequence[Event]) -> None:
        with self.change(traffic=True) as stores:
            for event in events:
                stores.outbox.add(event)

    def commit_marks(self) -> Callable[[], object | None]:
        # Each commit replaces the state; a reference to it is kept, so that no later one has its identity.
        return lambda: None if self.broken else _Mark(self.state)

    def _fail_where_told(self) -> None:
        if self.broken is not None:
            raise self.broken
