"""The log: moves events from the outbox into the Merkle tree, and signs checkpoints. Declares the store Protocols.

Not here: the tree itself (`merkle`), the signature format (`note`), verifying the log (`verifying`),
exporting it (`export`).

The life of an event, and the transactions:
    1. A use case changes state and calls `SealedEventOutbox.record(seal_event(event, salt))` in the same
       transaction: the event is durable if and only if the change is.
    2. The sequencer calls `sequence(store, limit)` in a transaction of its own: the oldest
       events of the outbox become numbered leaves.
    3. From time to time, in a transaction of its own, `sign_checkpoint(store, …)` signs the head of the tree.
    4. Erasure deletes openings (value and salt) and changes nothing else.
A lock of the storage (an advisory lock, BEGIN IMMEDIATE) serialises sequencing and signing: otherwise two sequencers
could give two leaves the same number. The unique keys make `append` refuse that too.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.block import SealedBlock
from doorward.audit.events import Retention
from doorward.audit.index import IndexStore
from doorward.audit.leaf import CommitmentOpening, SealedEvent
from doorward.audit.merkle import Accumulator, NodeRun, leaf_hash, leaf_hashes, peak_places, root_hash
from doorward.audit.note import (
    Checkpoint,
    VerifierKey,
    open_checkpoint,
    render_checkpoint,
    sign_note,
    verifier_key,
)
from doorward.core.errors import DoorwardError, IntegrityError


class StoredLeaf(NamedTuple):
    """One stored leaf. It is a tuple for speed, because the storage handles thousands of them.

    `number` counts from 0; `hash` is the RFC 9162 leaf hash of `leaf`, 32 bytes. `event_id` is empty for a leaf of a
    block: only the leaf itself holds it.
    """

    number: int
    event_id: str
    leaf: bytes
    hash: bytes


class StoredNode(NamedTuple):
    """The hash of one complete subtree: `2**level` leaves, beginning with leaf `number * 2**level`; level 1 and more.

    The store may keep some levels only and compute the others from them (`tiles`).
    """

    level: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """An event that is in the outbox and not in the tree yet. `outbox_id` orders the outbox."""

    outbox_id: int
    event_id: str
    leaf: bytes


class PendingBlock(NamedTuple):
    """A block that is in the outbox; `block_id` is the id of its first event.

    `packed` is the stored form of the leaves, so that the store need not make it again; empty if it is not known.
    """

    outbox_id: int
    block_id: str
    leaves: Sequence[bytes]
    packed: bytes = b""


class PlacedBlock(NamedTuple):
    """A block with its place in the tree: the number of its first leaf, the leaves and their hashes; `packed` as it was pending."""

    first: int
    block_id: str
    leaves: Sequence[bytes]
    hashes: Sequence[bytes]
    packed: bytes = b""


class SealedEventOutbox(Protocol):
    """Stores sealed events, in the transaction of the change that they record."""

    def record(self, sealed: SealedEvent) -> None:
        """Store the leaf in the outbox and the openings at their final place, in this transaction.

        An opening is a row (event id, field, value, salt, subject, retention class, time of the
        event): erasure selects rows by `subject`, or by retention class and time.

        Raises:
            IntegrityError: `event-duplicate`: an event with this id was recorded before; it may be in the outbox or in
                the tree.
        """
        ...

    def record_block(self, block: SealedBlock) -> None:
        """Store a block in the outbox, and its openings at their final place, in this transaction.

        Raises:
            IntegrityError: `event-duplicate`: a block that begins with this event was recorded before.
        """
        ...


class EventStore(SealedEventOutbox, IndexStore, Protocol):
    """The stored log. Every method works in the transaction of the caller and does not commit.

    Reads see the writes of the same transaction.
    """

    # -- the sequencer -------------------------------------------------------------------------

    def pending(self, limit: int) -> list[PendingEvent | PendingBlock]:
        """Return events and blocks of the outbox, oldest (`outbox_id`) first, until there are `limit` events or more.

        Rows are removed from the outbox by their ids, never up to a highest id: on PostgreSQL a lower id may
        become visible after a higher one, and would be lost.

        Raises:
            IntegrityError: `block-damaged`: a stored block cannot be read.
        """
        ...

    def tree_size(self) -> int:
        """Return the number of leaves, 0 for an empty log."""
        ...

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes at (level, number) places, in the given order; at most a few hundred.

        At level 0 it is the stored hash of the leaf.

        Raises:
            IntegrityError: `node-missing`.
        """
        ...

    def append(
        self,
        leaves: Sequence[StoredLeaf],
        nodes: Sequence[NodeRun],
        blocks: Sequence[PlacedBlock] = (),
    ) -> None:
        """Add leaves of single events and of blocks, and the nodes that they completed, one run for each level.

        Raises:
            IntegrityError: `leaf-out-of-order`: the numbers do not continue from `tree_size()` without holes;
                `event-duplicate`: an event with this id is in the tree already.
        """
        ...

    def forget_pending(self, outbox_ids: Sequence[int]) -> None:
        """Remove these rows from the outbox; the openings stay."""
        ...

    def latest_checkpoint(self) -> str | None:
        """Return the text of the checkpoint with the largest size, or None before the first."""
        ...

    def latest_checkpoint_at(self) -> datetime | None:
        """Return when the checkpoint with the largest size was stored, UTC, or None before the first."""
        ...

    def stored_checkpoints(self, above: int | None, to: int | None) -> Iterator[tuple[int, str]]:
        """Yield (stored size, text) of checkpoints with above < size <= to, sorted by size; None means no bound."""
        ...

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        """Store a signed checkpoint; all checkpoints are kept, one per size.

        Raises:
            IntegrityError: `checkpoint-duplicate`: there is one of this size already, which may contradict this one.
        """
        ...

    # -- the verifier and the exporter ---------------------------------------------------------

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the existing leaves with start <= number < end, by number, without loading all of them."""
        ...

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        """Yield the existing nodes of one level (1 or more) with start <= number < end."""
        ...

    def openings(self, start: int, end: int) -> Iterator[tuple[int, CommitmentOpening]]:
        """Yield (leaf number, opening) of the leaves in the range, sorted by number and field name."""
        ...

    # -- erasure -------------------------------------------------------------------------------

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete openings about this id, of events in the outbox and in the tree; return how many.

        A call deletes as many as a short transaction can; after the last call, which returns 0, there are none.
        """
        ...

    def erase_before(self, retention: Retention, before: datetime) -> int:
        """Delete openings of events of a retention class that are older; return how many, as `erase_subject`."""
        ...


def sequence(store: EventStore, limit: int) -> int:
    """Move the oldest events of the outbox into the tree.

    Args:
        store: in one transaction under the sequencer's lock; the caller commits it.
        limit: no block is moved after so many events; the rest is moved by the next call.

    Returns:
        How many events were moved; fewer than `limit` if the outbox is empty now.

    Raises:
        IntegrityError: the store found a fault; the caller must not commit.

    Standard: RFC 9162 section 2.1.
    """
    batch = store.pending(limit)
    if not batch:
        return 0
    number = size = store.tree_size()
    tree = Accumulator(size, store.nodes(peak_places(size)))
    leaves: list[StoredLeaf] = []
    blocks: list[PlacedBlock] = []
    hashes: list[bytes] = []
    for one in batch:
        if isinstance(one, PendingBlock):
            added = leaf_hashes(one.leaves)
            blocks.append(PlacedBlock(number, one.block_id, one.leaves, added, one.packed))
        else:
            added = [leaf_hash(one.leaf)]
            leaves.append(StoredLeaf(number, one.event_id, one.leaf, added[0]))
        hashes += added
        number += len(added)
    store.append(leaves, tree.extend(hashes), blocks)
    store.forget_pending([one.outbox_id for one in batch])
    return len(hashes)


def sign_checkpoint(
    store: EventStore,
    signer: Ed25519PrivateKey,
    origin: str,
    now: datetime,
) -> str | None:
    """Sign the head of the tree if the tree has grown since the last checkpoint.

    1. Verify the last checkpoint with this key: a log never changes its key, and a new key means a new log.
    2. Check that the tree begins with the leaves of that checkpoint. If a log signs two heads that
       contradict each other, none of its earlier proofs is worth anything.
    3. Sign and store the head.

    Args:
        store: in one transaction under the sequencer's lock.
        signer: the log's private key.
        origin: the log's name, which is also the name of its key, such as `corp.example/audit`.
        now: aware, UTC; stored with the checkpoint, not in it.

    Returns:
        The signed note, or None if the tree has not grown.

    Raises:
        IntegrityError: `checkpoint-foreign`, `log-truncated`, `log-rewritten`: stop and investigate.
        MalformedInput: `key-malformed` for an origin that cannot name a key.

    Standard: C2SP tlog-checkpoint, "Signatures".
    """
    size = store.tree_size()
    latest = store.latest_checkpoint()
    if latest is not None:
        last = _open_own(latest, verifier_key(origin, signer.public_key()))  # 1
        if last.size > size:
            raise IntegrityError("log-truncated", f"the log had {last.size} leaves and has {size}")
        if root_hash(last.size, store.nodes) != last.root:  # 2
            raise IntegrityError(
                "log-rewritten", f"the first {last.size} leaves differ from those that were signed"
            )
        if last.size == size:
            return None
    elif size == 0:
        return None
    head = Checkpoint(origin=origin, size=size, root=root_hash(size, store.nodes))
    text = sign_note(render_checkpoint(head), signer, origin)  # 3
    store.store_checkpoint(text, size, now)
    return text


def _open_own(text: str, key: VerifierKey) -> Checkpoint:
    try:
        return open_checkpoint(text, [key])
    except DoorwardError as error:
        raise IntegrityError(
            "checkpoint-foreign", "the last checkpoint was not signed by this log"
        ) from error
