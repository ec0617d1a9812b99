"""The store Protocols of the use cases, and the unit of work that binds them to one transaction.

Not here: SQL. `storage` implements these Protocols; `tests/support/memory_store.py` is the fake; the contract
suite in `tests/contract` runs on both.

The rule of the unit of work: a change of state, its number in the change sequence and its event
are one transaction. The transaction is durable when `change()` returns without an exception, and no part of it
is visible before that. Gateways are woken after the commit.
"""
# ruff: noqa: D102 - the properties of Stores are documented by the stores they give

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from doorward.stores.acme_protocols import AcmeStores
from doorward.stores.authority_protocols import AuthorityStores
from doorward.stores.fact_protocols import FactStores
from doorward.stores.factor_protocols import FactorStores
from doorward.stores.fleet_protocols import FleetStores
from doorward.stores.line_protocols import LineStores
from doorward.stores.notice_protocols import NoticeStores

if TYPE_CHECKING:
    from doorward.audit.block import SealedBlock
    from doorward.audit.events import Event
    from doorward.stores.certificate_protocols import CertificateStore, StatusStore
    from doorward.stores.delta_protocols import DeltaStore
    from doorward.stores.directory_protocols import ApplicationStore, DirectoryStore, InvitationStore
    from doorward.stores.holder_notes import HolderNoteStore
    from doorward.stores.partner_protocols import EvidenceStore, PartnerStore
    from doorward.stores.records import (
        ChangeKind,
        ChangeRecord,
        GatewayRecord,
        OrderRecord,
        RevisionRecord,
        TenantRecord,
    )


class TenantStore(Protocol):
    """The tenant; one row for now."""

    def get(self) -> TenantRecord | None:
        """Return the tenant, or None before `doorward init`."""
        ...

    def add(self, tenant: TenantRecord) -> None:
        """Add it; raise `RequestRefused` (`tenant-exists`) if there is one already."""
        ...


class RevisionStore(Protocol):
    """Numbered revisions of the policy document."""

    def latest(self) -> RevisionRecord | None:
        """Return the newest revision."""
        ...

    def get(self, number: int) -> RevisionRecord | None:
        """Return that revision."""
        ...

    def list(self, limit: int = 50) -> Sequence[RevisionRecord]:
        """Return the newest revisions, newest first."""
        ...

    def add(self, revision: RevisionRecord) -> None:
        """Add the next one; raise `RequestRefused` (`revision-conflict`) unless it is latest + 1."""
        ...


class ChangeStore(Protocol):
    """The change sequence: its numbers have no holes and follow the order of the commits."""

    def head(self) -> int:
        """Return the newest number; 0 before the first."""
        ...

    def note(self, kind: ChangeKind, subject: str, at: datetime) -> int:
        """Add a change to this transaction and return its number."""
        ...

    def note_all(self, kind: ChangeKind, subjects: Sequence[str], at: datetime) -> Sequence[int]:
        """Add a change for each subject, in this order, and return their numbers."""
        ...

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        """Return the changes after `seq`, oldest first."""
        ...


class EventOutbox(Protocol):
    """Events that are not in the Merkle tree yet; an event is added in the transaction of the change that it records."""

    def add(self, event: Event) -> None:
        """Queue one event, with a new salt for its personal data."""
        ...

    def add_all(self, events: Sequence[Event]) -> None:
        """Queue many events, in this order. Events of one moment and one retention class become a block."""
        ...

    def add_block(self, block: SealedBlock) -> None:
        """Queue the events of a block, which are sealed already, in their order.

        Raises:
            IntegrityError: `event-duplicate`.
        """
        ...

    def waiting(self) -> int:
        """Return how many events wait for the sequencer."""
        ...


class GatewayStore(Protocol):
    """The gateways and the changes that they have confirmed."""

    def save(self, gateway: GatewayRecord) -> None:
        """Insert or update by id."""
        ...

    def confirm(self, gateway_id: str, seq: int, seen_at: datetime, status: str) -> None:
        """Note that this gateway enforces everything up to `seq`."""
        ...

    def list(self) -> list[GatewayRecord]:
        """Return all, sorted by name."""
        ...

    def remove(self, gateway_id: str) -> None:
        """Remove a gateway that was stopped normally."""
        ...


class OrderStore(Protocol):
    """Gateways' orders for server certificates."""

    def add(self, order: OrderRecord) -> None:
        """Add an open order."""
        ...

    def get(self, order_id: str) -> OrderRecord | None:
        """Return the order with this id."""
        ...

    def open(self) -> list[OrderRecord]:
        """Return the open ones, oldest first."""
        ...

    def fill(self, order_id: str, certificate_id: str) -> bool:
        """Mark it filled if it is open; True for exactly one caller of `fill` and `refuse` (compare and set)."""
        ...

    def refuse(self, order_id: str, why: str) -> bool:
        """Mark it refused if it is open; the return value is as for `fill`."""
        ...


class IngestStore(Protocol):
    """How far each access log file of each gateway was read; it is updated in the transaction of the events."""

    def position(self, gateway_id: str, file: str) -> int:
        """Return the byte offset after the last line that was read; 0 for an unknown file."""
        ...

    def advance(self, gateway_id: str, file: str, expected: int, offset: int) -> None:
        """Move from `expected` to `offset`; raise `IntegrityError` if another reader has moved it."""
        ...

    def counts(self, gateway_id: str, stream: str) -> str:
        """Return the stored counts of a stream that are not recorded as events yet; empty if there are none."""
        ...

    def store_counts(self, gateway_id: str, stream: str, state: str) -> None:
        """Store the counts of a stream; replace the earlier ones."""
        ...


class Stores(
    AcmeStores, AuthorityStores, FactorStores, FactStores, FleetStores, LineStores, NoticeStores, Protocol
):
    """All stores, in one transaction of one tenant."""

    @property
    def tenants(self) -> TenantStore: ...
    @property
    def directory(self) -> DirectoryStore: ...
    @property
    def applications(self) -> ApplicationStore: ...
    @property
    def certificates(self) -> CertificateStore: ...
    @property
    def invitations(self) -> InvitationStore: ...
    @property
    def revisions(self) -> RevisionStore: ...
    @property
    def changes(self) -> ChangeStore: ...
    @property
    def outbox(self) -> EventOutbox: ...
    @property
    def gateways(self) -> GatewayStore: ...
    @property
    def orders(self) -> OrderStore: ...
    @property
    def status(self) -> StatusStore: ...
    @property
    def deltas(self) -> DeltaStore: ...
    @property
    def ingest(self) -> IngestStore: ...
    @property
    def partners(self) -> PartnerStore: ...
    @property
    def evidence(self) -> EvidenceStore: ...
    @property
    def holder_notes(self) -> HolderNoteStore: ...


class UnitOfWork(Protocol):
    """Opens transactions. Safe to share between threads; each `with` block has its own transaction."""

    def read(self) -> AbstractContextManager[Stores]:
        """Open a consistent snapshot; writing through it raises an error."""
        ...

    def change(self, *, traffic: bool = False) -> AbstractContextManager[Stores]:
        """Open a write transaction: it is committed durably at the end, and rolled back on any exception.

        Args:
            traffic: True if connections or requests cause the change, not an administrator. Such a change is refused
                (`store-full`) if only the disk space that is reserved for withdrawals is left.

        Raises:
            Unavailable: `store-busy`, `store-unavailable`: the database did not answer in time.
        """
        ...

    def commit_marks(self) -> Callable[[], object | None]:
        """Return a function with equal results only if nothing was committed in between; None means that it cannot tell.

        A mark that was read before a transaction covers what that one has seen: while the mark is the same, another would see
        the same.
        """
        ...

    def record(self, events: Sequence[Event]) -> None:
        """Store events that change no state (decisions) durably, in one transaction for the whole batch.

        They count as traffic: see `change`.
        """
        ...
