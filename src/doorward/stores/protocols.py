"""The store Protocols of the use cases, and the unit of work that binds them to one transaction.

Not here: SQL. `storage` implements these Protocols; `tests/support/memory_store.py` is the fake; the contract
suite in `tests/contract` runs on both.

The rule of the unit of work: a change of state, its number in the change sequence and its event
are one transaction. The transaction is durable when `change()` returns without an exception, and no part of it
is visible before that. Gateways are woken after the commit.
"""
# ruff: noqa: D102 - the properties of Stores are documented by the stores they give

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from doorward.stores.acme_protocols import AcmeStores
from doorward.stores.authority_protocols import AuthorityStores
from doorward.stores.fact_protocols import FactStores
from doorward.stores.factor_protocols import FactorStores
from doorward.stores.fleet_protocols import FleetStores
from doorward.stores.line_protocols import LineStore, LineStores
from doorward.stores.notice_protocols import NoticeStores

if TYPE_CHECKING:
    from doorward.audit.block import SealedBlock
    from doorward.audit.events import Event
    from doorward.core.certificate import CertificateState, RevocationReason
    from doorward.core.entities import Application, Principal, PrincipalKind, PrincipalState
    from doorward.stores.holder_notes import HolderNoteStore
    from doorward.stores.partner_protocols import EvidenceStore, PartnerStore
    from doorward.stores.records import (
        CertificateFilter,
        CertificateRecord,
        ChangeKind,
        ChangeRecord,
        CrlRecord,
        GatewayRecord,
        InvitationRecord,
        OcspRecord,
        OrderRecord,
        RevisionRecord,
        RevokedRow,
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


class DirectoryStore(Protocol):
    """Persons, devices, services and groups."""

    def add(self, principal: Principal, created_at: datetime) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) if a principal of any kind that is not removed has the name."""
        ...

    def get(self, principal_id: str) -> Principal | None:
        """Return the principal with its groups."""
        ...

    def by_name(self, name: str) -> Principal | None:
        """Return the principal with this name that is not removed; names are unique over all kinds."""
        ...

    def list(self, kind: PrincipalKind | None = None) -> list[Principal]:
        """Return all that are not removed, sorted by name."""
        ...

    def set_state(self, principal_id: str, state: PrincipalState) -> None:
        """Set the state; the use case has checked the transition."""
        ...

    def set_display_name(self, principal_id: str, display_name: str) -> None:
        """Set the name on screens; raise `NotFound` if there is no such principal."""
        ...

    def members(self, group: str) -> Sequence[Principal]:
        """Return the members of a group and of the groups in it, without removed principals, sorted by name.

        Empty for an unknown group. If `inherited` of a principal contains the group, the principal is a member of it
        through another group.
        """
        ...

    def remove_group(self, group: str) -> bool:
        """Remove a group with its memberships and nestings; return whether the group existed."""
        ...

    def knows_removed(self, name: str, partner_id: str) -> bool:
        """Return whether a principal with this name, of this partner, was removed."""
        ...

    def remove_partner(self, partner_id: str) -> int:
        """Mark every principal of a partner as removed; return how many there were."""
        ...

    def add_group(self, name: str, group_id: str, created_at: datetime) -> None:
        """Add a group; raise `RequestRefused` (`name-taken`) if it exists."""
        ...

    def groups(self) -> Mapping[str, int]:
        """Return every group name with the number of its direct members that are principals, sorted by name."""
        ...

    def add_member(self, group: str, principal_id: str) -> bool:
        """Put a principal into a group; False if it was in it already; raise `NotFound` for an unknown group."""
        ...

    def remove_member(self, group: str, principal_id: str) -> bool:
        """Take a principal out of a group; False if it was not in it; raise `NotFound` for an unknown group."""
        ...

    def nestings(self) -> Sequence[tuple[str, str]]:
        """Return all pairs (inner, outer) of groups where `inner` is a direct member of `outer`, sorted."""
        ...

    def enclosing(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return these names, known or not, and every group that contains one of them, sorted."""
        ...

    def nest(self, inner: str, outer: str) -> bool:
        """Put a group into a group; False if it was in it already; raise `NotFound` for an unknown one.

        The use case has checked that this makes no circle.
        """
        ...

    def unnest(self, inner: str, outer: str) -> bool:
        """Take a group out of a group; False if it was not in it; raise `NotFound` for an unknown one."""
        ...


class ApplicationStore(Protocol):
    """Names of applications and their ids; an id is never reused, not even if the name is used again."""

    def list(self) -> list[Application]:
        """Return the applications of the current revision, sorted by name."""
        ...

    def add(self, application: Application, created_at: datetime) -> None:
        """Add one."""
        ...

    def remove(self, application_id: str, removed_at: datetime) -> None:
        """Mark one as removed."""
        ...


class CertificateStore(LineStore, Protocol):
    """The inventory of certificates."""

    def add_intended(self, *certificates: CertificateRecord) -> None:
        """Record intents before the authority's key signs; raise `IntegrityError` for a duplicate serial."""
        ...

    def complete(self, certificate_id: str, *, sha256: str, der: bytes) -> None:
        """Turn an intent into a valid certificate."""
        ...

    def add_seen(self, certificate: CertificateRecord) -> bool:
        """Add a partner's certificate; False if its digest, or its issuer and serial, is in the inventory already."""
        ...

    def assign(self, certificate_id: str, principal_id: str, authority_id: str) -> None:
        """Set the principal and the authority of a certificate; raise `NotFound` for an unknown one."""
        ...

    def get(self, certificate_id: str) -> CertificateRecord | None:
        """Return the certificate with this id."""
        ...

    def by_sha256(self, sha256: str) -> CertificateRecord | None:
        """Return the certificate with this digest; every connection asks this, so it uses an index."""
        ...

    def by_serial(self, authority_id: str, serial: int) -> CertificateRecord | None:
        """Return the certificate with this issuer and serial number."""
        ...

    def find(self, prefix: str) -> list[CertificateRecord]:
        """Return at most 2 certificates with an id, serial (hex) or SHA-256 that begins with `prefix`.

        The shortest prefix that a person may type is checked elsewhere (`inventory.SHORTEST_PREFIX`).
        """
        ...

    def set_state(
        self,
        certificate_id: str,
        state: CertificateState,
        *,
        reason: RevocationReason | None,
        revoked_at: datetime | None,
    ) -> None:
        """Set the state; the use case has checked the transition against `pki.lifecycle`."""
        ...

    def revoked(self, authority_id: str, not_after: datetime) -> Iterator[RevokedRow]:
        """Yield revoked and held certificates of an issuer that expire after `not_after`, always in the same order.

        There may be a million, so they are no records.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of certificates by state."""
        ...

    def list(self, wanted: CertificateFilter) -> list[CertificateRecord]:
        """Return those that match, after `wanted.after_id`, in the order of their ids, which is the order of creation."""
        ...


class InvitationStore(Protocol):
    """One-time invitations."""

    def add(self, invitation: InvitationRecord) -> None:
        """Add one."""
        ...

    def by_token(self, token_sha256: str) -> InvitationRecord | None:
        """Return the invitation with this token."""
        ...

    def get(self, invitation_id: str) -> InvitationRecord | None:
        """Return the invitation with this id."""
        ...

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[InvitationRecord]:
        """Return those that are neither used, voided nor expired, of one principal or all, oldest first."""
        ...

    def unused_since(self, principal_id: str, since: datetime) -> list[InvitationRecord]:
        """Return those of a principal that were made since then and never used, oldest first."""
        ...

    def redeem(self, invitation_id: str, certificate_id: str, used_at: datetime) -> bool:
        """Mark it used for that certificate if it is open: not used, not voided, not expired at `used_at`.

        One statement compares and sets, so the answer is True for exactly one caller.
        """
        ...

    def void(self, invitation_id: str, voided_at: datetime) -> bool:
        """Withdraw it if it was neither used nor voided; True for exactly one caller, as for `redeem`."""
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


class StatusStore(Protocol):
    """What the status listener serves: CRLs and pre-signed OCSP responses."""

    def crl(self, authority_id: str, partition: str = "") -> CrlRecord | None:
        """Return the newest CRL of this authority and partition."""
        ...

    def crl_heads(self, authority_id: str) -> list[CrlRecord]:
        """Return the newest CRL of every partition, sorted by name, with an empty `der`, because CRLs are large."""
        ...

    def crl_number(self, authority_id: str, partition: str = "") -> int | None:
        """Return the number of the newest CRL without reading the CRL, which may have megabytes."""
        ...

    def store_crl(self, crl: CrlRecord) -> None:
        """Replace the CRL of its partition; raise `IntegrityError` unless its number grows."""
        ...

    def ocsp(self, certificate_id: str, hash_name: str) -> OcspRecord | None:
        """Return the pre-signed response."""
        ...

    def store_ocsp(self, *responses: OcspRecord) -> None:
        """Insert or replace pre-signed responses."""
        ...

    def forget_ocsp(self, certificate_id: str) -> None:
        """Remove the pre-signed responses of one certificate; it is not due any more."""
        ...

    def await_ocsp(self, certificate_id: str, since: datetime) -> None:
        """Remove the pre-signed responses of one certificate, and list it as due from `since` on."""
        ...

    def due_ocsp(self, by: datetime, limit: int) -> list[str]:
        """Return at most `limit` ids of certificates with a response that ends by then, or that wait for one since then.

        The certificates that have been due for the longest time come first. The work grows with `limit`, not with the
        inventory.
        """
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

    def record(self, events: Sequence[Event]) -> None:
        """Store events that change no state (decisions) durably, in one transaction for the whole batch.

        They count as traffic: see `change`.
        """
        ...
