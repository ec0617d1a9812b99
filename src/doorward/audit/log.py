"""The log: from the outbox into the Merkle tree, and its signed checkpoints. Declares the stores.

Not here: the tree itself (`merkle`), the signature format (`note`), checking the log (`verifying`)
and carrying it elsewhere (`export`).

The life of an event, and who does what in which transaction:
    1. a use case changes state and calls `SealedEventOutbox.record(seal_event(event, salt))` in the same
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

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.events import Retention
from doorward.audit.leaf import CommitmentOpening, SealedEvent
from doorward.audit.merkle import Accumulator, leaf_hash, peak_places, root_hash
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
class PendingEvent:
    """An event that is recorded and not yet a leaf. `outbox_id` orders the outbox."""

    outbox_id: int
    event_id: str
    leaf: bytes


class SealedEventOutbox(Protocol):
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


class EventStore(SealedEventOutbox, Protocol):
    """The log at rest. Every method works inside one transaction that the caller opened.

    Reads see the writes of the same transaction. Nothing here commits.
    """

    # -- the sequencer -------------------------------------------------------------------------

    def pending(self, limit: int) -> list[PendingEvent]:
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

    def stored_checkpoints(self, above: int | None, to: int | None) -> Iterator[tuple[int, str]]:
        """Yield (size that it is kept under, text) of those with above < size <= to, by size; None is no bound."""
        ...

    def store_checkpoint(self, text: str, size: int, at: datetime) -> None:
        """Keep a signed checkpoint; all are kept, one per size.

        Raises:
            IntegrityError: `checkpoint-duplicate` where there is one of this size: it may contradict.
        """
        ...

    # -- the verifier and the exporter ---------------------------------------------------------

    def leaves(self, start: int, end: int) -> Iterator[StoredLeaf]:
        """Yield the leaves with start <= number < end that there are, by number, without loading all."""
        ...

    def node_range(self, level: int, start: int, end: int) -> Iterator[StoredNode]:
        """Yield the stored nodes of one level (1 and more) with start <= number < end that there are."""
        ...

    def openings(self, start: int, end: int) -> Iterator[tuple[int, CommitmentOpening]]:
        """Yield (leaf number, opening) of leaves in the range, by number, then by field name."""
        ...

    # -- erasure -------------------------------------------------------------------------------

    def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete every opening about this id, in outbox and log alike; return how many."""
        ...

    def erase_before(self, retention: Retention, before: datetime) -> int:
        """Delete the openings of a retention class whose events are older; return how many."""
        ...


def sequence(store: EventStore, limit: int) -> int:
    """Move the oldest events of the outbox into the tree.

    Args:
        store: inside one transaction, which the caller commits, under the sequencer's lock.
        limit: events at most; what is left comes next time.

    Returns:
        How many were moved.

    Raises:
        IntegrityError: what the store found broken; nothing may be committed then.

    Standard: RFC 9162 section 2.1.
    """
    batch = store.pending(limit)
    if not batch:
        return 0
    size = store.tree_size()
    tree = Accumulator(size, store.nodes(peak_places(size)))
    hashes = [leaf_hash(event.leaf) for event in batch]
    runs = tree.extend(hashes)
    store.append(
        [
            StoredLeaf(number, event.event_id, event.leaf, digest)
            for number, (event, digest) in enumerate(zip(batch, hashes, strict=True), start=size)
        ],
        [
            StoredNode(run.level, number, digest)
            for run in runs
            for number, digest in enumerate(run.hashes, start=run.start)
        ],
    )
    store.forget_pending([event.outbox_id for event in batch])
    return len(batch)


def sign_checkpoint(
    store: EventStore,
    signer: Ed25519PrivateKey,
    origin: str,
    now: datetime,
) -> str | None:
    """Sign the head of the tree where it has grown since the last checkpoint.

    1. The last checkpoint must verify under this key: a log keeps its key, a new key is a new log.
    2. The tree must begin with what that checkpoint covers: a log that signs two heads which
       contradict each other destroys every proof that it ever gave.
    3. The head is signed and stored.

    Args:
        store: inside one transaction, under the sequencer's lock.
        signer: the log's private key.
        origin: the log's name, which is the name of its key, such as `corp.example/audit`.
        now: aware, UTC; kept beside the checkpoint, not in it.

    Returns:
        The signed note, or None where nothing is new.

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
                "log-rewritten", f"the first {last.size} leaves are not those that were signed"
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
