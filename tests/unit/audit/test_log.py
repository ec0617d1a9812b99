"""Moving events from the outbox into the tree, and signing the head."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.merkle import Accumulator, leaf_hash
from doorward.audit.note import (
    Checkpoint,
    open_checkpoint,
    render_checkpoint,
    sign_note,
    verifier_key,
)
from doorward.core.errors import IntegrityError, MalformedInput
from tests.contract.event_store import ORIGIN, SIGNER, fill
from tests.support.events import MemoryEventStore, request_answered, seal, sealed_block
from tests.support.ports import NOON
from tests.support.refusals import refused

KEY = verifier_key(ORIGIN, SIGNER.public_key())


def test_an_empty_outbox_moves_nothing() -> None:
    """An empty outbox changes nothing."""
    assert sequence(MemoryEventStore(), 10) == 0


def test_the_oldest_events_become_the_next_leaves() -> None:
    """At most `limit` events are moved, oldest first, and removed from the outbox."""
    store = MemoryEventStore()
    sealed = [seal(request_answered(number)) for number in range(5)]
    for event in sealed:
        store.record(event)
    assert sequence(store, 3) == 3
    assert [(row.number, row.event_id, row.leaf) for row in store.rows] == [
        (number, sealed[number].id, sealed[number].leaf) for number in range(3)
    ]
    assert [event.event_id for event in store.outbox] == [event.id for event in sealed[3:]]
    assert sequence(store, 3) == 2
    assert sequence(store, 3) == 0


def test_a_block_is_moved_whole() -> None:
    """The events of a block become leaves together and in order, even if they are more than asked for."""
    store = MemoryEventStore()
    block = sealed_block(1, 2, 3)
    store.record(seal(request_answered(0)))
    store.record_block(block)
    store.record(seal(request_answered(4)))
    assert [sequence(store, 2), sequence(store, 2)] == [4, 1]
    assert [row.leaf for row in store.rows[1:4]] == block.leaves
    assert [row.hash for row in store.rows] == [leaf_hash(row.leaf) for row in store.rows]


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_the_nodes_of_the_tree_are_stored(batch: int) -> None:
    """Every complete subtree is stored once, with batches of any size."""
    store = MemoryEventStore()
    fill(store, 19, batch=batch)
    runs = Accumulator().extend([leaf_hash(row.leaf) for row in store.rows])
    assert store.inner == {
        (run.level, run.start + place): digest for run in runs for place, digest in enumerate(run.hashes)
    }


def test_sequencing_stops_at_a_missing_node() -> None:
    """A missing node stops the sequencer before it writes anything."""
    store = MemoryEventStore()
    fill(store, 6)
    del store.inner[1, 2]
    store.record(seal(request_answered(6)))
    with pytest.raises(IntegrityError):
        sequence(store, 10)
    assert len(store.rows) == 6


def test_an_empty_log_is_not_signed() -> None:
    """Before the first leaf there is nothing to sign."""
    assert sign_checkpoint(MemoryEventStore(), SIGNER, ORIGIN, NOON) is None


def test_the_head_is_signed_and_stored() -> None:
    """The checkpoint names the log, its size and its root, verifies, and is kept with its time."""
    store = MemoryEventStore()
    fill(store, 5)
    text = sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    assert text is not None
    tree = Accumulator()
    tree.extend([row.hash for row in store.rows])
    assert open_checkpoint(text, [KEY]) == Checkpoint(origin=ORIGIN, size=5, root=tree.root())
    assert store.checkpoints == [(5, text, NOON)]


def test_the_same_head_is_signed_once() -> None:
    """A head is signed only if the tree has grown."""
    store = MemoryEventStore()
    fill(store, 5)
    assert sign_checkpoint(store, SIGNER, ORIGIN, NOON) is not None
    assert sign_checkpoint(store, SIGNER, ORIGIN, NOON) is None
    fill(store, 1, first=5)
    assert sign_checkpoint(store, SIGNER, ORIGIN, NOON) is not None
    assert [size for size, _, _ in store.checkpoints] == [5, 6]


def test_a_truncated_log_is_not_signed() -> None:
    """A log shorter than its last checkpoint is never signed again."""
    store = MemoryEventStore()
    fill(store, 5)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    store.rows.pop()
    with refused(IntegrityError, "log-truncated"):
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)


def test_a_rewritten_log_is_not_signed() -> None:
    """A log that does not begin with the signed leaves is never signed again."""
    store = MemoryEventStore()
    fill(store, 5)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    rewritten = MemoryEventStore(checkpoints=store.checkpoints)
    fill(rewritten, 6, first=100)
    with refused(IntegrityError, "log-rewritten"):
        sign_checkpoint(rewritten, SIGNER, ORIGIN, NOON)
    assert len(store.checkpoints) == 1


@pytest.mark.parametrize("text", ["", "not a note", "forged"])
def test_a_foreign_checkpoint_is_not_continued(text: str) -> None:
    """If the last checkpoint was signed by another key, nothing is signed."""
    store = MemoryEventStore()
    fill(store, 5)
    if text == "forged":
        forger = Ed25519PrivateKey.from_private_bytes(bytes(32))
        text = sign_note(render_checkpoint(Checkpoint(origin=ORIGIN, size=1, root=bytes(32))), forger, ORIGIN)
    store.store_checkpoint(text, 1, NOON)
    with refused(IntegrityError, "checkpoint-foreign"):
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)


def test_an_origin_must_be_able_to_name_a_key() -> None:
    """An origin with a space is refused, because it cannot name a key."""
    store = MemoryEventStore()
    fill(store, 1)
    with pytest.raises(MalformedInput):
        sign_checkpoint(store, SIGNER, "corp example", NOON)
