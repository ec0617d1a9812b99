"""The log: from the outbox into the Merkle tree, and its signed checkpoints. Declares the stores.

Not here: the tree itself (`merkle`), the signature format (`note`), checking the log (`verifying`)
and carrying it elsewhere (`export`).

The life of an event, and who does what in which transaction:
    1. a use case changes state and calls `Outbox.record(seal_event(event, salt))` in the same
       transaction: the event is durable if and only if the change is;
    2. the one sequencer calls `sequence(store, limit)` in a transaction of its own: the oldest
       events of the outbox become leaves with numbers;
    3. now and then, again alone, `sign_checkpoint(store, …)`: the tree's head, signed;
    4. erasure deletes openings (value and salt) and touches nothing else.
Sequencing and signing are serialised by a lock of the storage (an advisory lock, BEGIN IMMEDIATE):
two sequencers would number two leaves alike. `append` refuses that too, by its unique keys.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from doorward.audit.events import Retention
from doorward.audit.leaf import Opening, SealedEvent


class StoredLeaf(NamedTuple):
    """One leaf at rest: a tuple, because storage moves these by the thousand.

    `number` counts from 0; `hash` is the RFC 9162 leaf hash of `leaf`, 32 bytes.
    """

    number: int
    event_id: str
    leaf: bytes
    hash: bytes


class StoredNode(NamedTuple):
    """The hash of one complete subtree: the leaves from `number * 2**level`, `2**level` of them.

    Level 0 is the leaves' own hashes, kept with the leaves; stored nodes have level 1 and more.
    """

    level: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An event that is recorded and not yet a leaf. `outbox_id` orders the outbox."""

    outbox_id: int
    event_id: str
    leaf: bytes


class Outbox(Protocol):
    """Where use cases put events, inside the transaction of the change that they tell of."""

    def record(self, sealed: SealedEvent) -> None:
        """Keep the leaf in the outbox and the openings at their final place, in this transaction.

        An opening is a row (event id, field, value, salt, subject, retention class, time of the
        event): `subject` and (retention, time) are what erasure looks for.

        Raises:
            IntegrityError: `event-duplicate` where an event with this id was recorded before,
                whether it is still in the outbox or a leaf already.
        """
        ...


class EventStore(Outbox, Protocol):
    """The log at rest. Every method works inside one transaction that the caller opened.

    Reads see the writes of the same transaction. Nothing here commits.
    """

    # -- the sequencer -------------------------------------------------------------------------

    def pending(self, limit: int) -> list[Pending]:
        """Return at most `limit` events of the outbox, oldest (`outbox_id`) first.

        The outbox is emptied by id and never by a high-water mark: on PostgreSQL a lower id may
        become visible after a higher one, and a mark would lose it.
        """
        ...

    def tree_size(self) -> int:
        """Return the number of leaves, 0 for an empty log."""
        ...

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes at (level, number) places, in the order asked; at most some hundred.

        Level 0 answers the stored hash of that leaf.

        Raises:
            IntegrityError: `node-missing` where one is not there.
        """
        ...

    def append(self, leaves: Sequence[StoredLeaf], nodes: Sequence[StoredNode]) -> None:
        """Add leaves and the nodes that they completed.

        Raises:
            IntegrityError: `leaf-out-of-order` where the numbers do not go on from `tree_size()`
                one by one; `event-duplicate` where an event id is a leaf already.
        """
        ...

    def forget_pending(self, outbox_ids: Sequence[int]) -> None:
        """Remove these from the outbox; the openings stay."""
        ...

    def latest_checkpoint(self) -> str | None:
        """Return the text of the checkpoint with the largest size, or None before the first."""
        ...

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        """Keep a signed checkpoint; all are kept, one per size."""
        ...

    # -- the verifier and the exporter ---------------------------------------------------------

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the leaves with start <= number < end that there are, by number, without loading all."""
        ...

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        """Yield the stored nodes of one level (1 and more) with start <= number < end that there are."""
        ...

    def openings(self, start: int, end: int) -> Iterator[tuple[int, Opening]]:
        """Yield (leaf number, opening) of leaves in the range, by number, then by field name."""
        ...

    # -- erasure -------------------------------------------------------------------------------

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete every opening about this id, in outbox and log alike; return how many."""
        ...

    def erase_before(self, retention: Retention, before: datetime) -> int:
        """Delete the openings of a retention class whose events are older; return how many."""
        ...
