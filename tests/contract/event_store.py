"""The contract of `audit.log.EventStore`: one suite for the fake and for every real storage.

A storage subclasses `EventStoreContract` and gives it a fixture `store`: an empty store inside one
open transaction. Nothing of the suite commits.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.events import Retention
from doorward.audit.leaf import CommitmentOpening, check_personal, parse_leaf
from doorward.audit.log import (
    EventStore,
    PendingBlock,
    PendingEvent,
    StoredLeaf,
    StoredNode,
    sequence,
    sign_checkpoint,
)
from doorward.audit.merkle import (
    Accumulator,
    NodeRun,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from doorward.audit.note import render_verifier_key, verifier_key
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from tests.support.events import ALICE, BOB, principal_suspended, request_answered, seal, sealed_block
from tests.support.ports import NOON
from tests.support.refusals import refused

ORIGIN = "corp.example/audit"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = render_verifier_key(verifier_key(ORIGIN, SIGNER.public_key()))


def fill(store: EventStore, count: int, *, first: int = 0, batch: int = 1000) -> None:
    """Record access events and sequence them."""
    for number in range(first, first + count):
        store.record(seal(request_answered(number)))
    while sequence(store, batch):
        pass


def leaf_row(number: int, event_number: int | None = None) -> StoredLeaf:
    """A leaf as `append` takes it."""
    sealed = seal(request_answered(number if event_number is None else event_number))
    return StoredLeaf(number, sealed.id, sealed.leaf, leaf_hash(sealed.leaf))


class EventStoreContract:
    """The contract of every `EventStore`."""

    def test_an_empty_store_has_nothing(self, store: EventStore) -> None:
        """A new store has no leaf, no event, no checkpoint, and answers empty ranges."""
        assert store.tree_size() == 0
        assert store.pending(10) == []
        assert store.nodes([]) == []
        assert store.latest_checkpoint() is None
        assert store.latest_checkpoint_at() is None
        assert list(store.leaves(0, 10)) == []
        assert list(store.node_range(1, 0, 10)) == []
        assert list(store.openings(0, 10)) == []

    def test_the_outbox_answers_the_oldest_first(self, store: EventStore) -> None:
        """Events wait in the order of recording, byte for byte, and no more than asked are given."""
        sealed = [seal(request_answered(number)) for number in (3, 1, 2)]
        for event in sealed:
            store.record(event)
        waiting = store.pending(2)
        assert [(event.event_id, event.leaf) for event in waiting] == [
            (event.id, event.leaf) for event in sealed[:2]
        ]
        assert waiting[0].outbox_id < waiting[1].outbox_id
        assert len(store.pending(10)) == 3
        assert store.tree_size() == 0

    def test_an_event_is_recorded_once(self, store: EventStore) -> None:
        """A second event with an id of the outbox or of the log is refused."""
        store.record(seal(request_answered(1)))
        with refused(IntegrityError, "event-duplicate"):
            store.record(seal(request_answered(1)))

    def test_an_event_that_is_a_leaf_is_not_recorded_again(self, store: EventStore) -> None:
        """Sequencing does not free an event id."""
        fill(store, 1)
        with refused(IntegrityError, "event-duplicate"):
            store.record(seal(request_answered(0)))

    def test_only_the_named_events_leave_the_outbox(self, store: EventStore) -> None:
        """Events are removed by id: those between stay."""
        for number in range(3):
            store.record(seal(request_answered(number)))
        first, middle, last = store.pending(3)
        store.forget_pending([first.outbox_id, last.outbox_id])
        assert store.pending(3) == [middle]

    def test_leaves_come_back_as_they_were(self, store: EventStore) -> None:
        """Leaves are answered by number, with their hash, in any range."""
        rows = [leaf_row(number) for number in range(5)]
        store.append(rows[:3], [])
        store.append(rows[3:], [])
        assert store.tree_size() == 5
        assert list(store.leaves(0, 5)) == rows
        assert list(store.leaves(2, 4)) == rows[2:4]
        assert list(store.leaves(4, 99)) == rows[4:]

    @pytest.mark.parametrize("number", [0, 2])
    def test_leaves_are_appended_in_order(self, store: EventStore, number: int) -> None:
        """A leaf that is not the next one is refused: two sequencers cannot number two leaves alike."""
        store.append([leaf_row(0)], [])
        with refused(IntegrityError, "leaf-out-of-order"):
            store.append([leaf_row(number, 7)], [])

    def test_an_event_is_a_leaf_once(self, store: EventStore) -> None:
        """The same event under a second number is refused."""
        store.append([leaf_row(0)], [])
        with refused(IntegrityError, "event-duplicate"):
            store.append([leaf_row(1, 0)], [])

    def test_nodes_come_back_in_the_order_asked(self, store: EventStore) -> None:
        """Level 0 returns the leaves' hashes, other levels the nodes above; asking twice is allowed."""
        rows = [leaf_row(number) for number in range(4)]
        left, right = (node_hash(rows[place].hash, rows[place + 1].hash) for place in (0, 2))
        stored = [StoredNode(1, 0, left), StoredNode(1, 1, right), StoredNode(2, 0, node_hash(left, right))]
        store.append(rows, [NodeRun(1, 0, [left, right]), NodeRun(2, 0, [stored[2].hash])])
        asked = [(2, 0), (0, 3), (1, 1), (0, 3), (1, 0)]
        assert store.nodes(asked) == [stored[2].hash, rows[3].hash, right, rows[3].hash, left]
        assert list(store.node_range(1, 0, 2)) == stored[:2]
        assert list(store.node_range(1, 1, 9)) == stored[1:2]
        assert list(store.node_range(2, 0, 1)) == stored[2:]

    def test_the_nodes_of_a_large_tree_are_there(self, store: EventStore) -> None:
        """Whatever the batches are, every complete subtree can be asked for, also above and across tiles."""
        for first, count in ((0, 1), (1, 254), (255, 3), (258, 600)):
            store.record_block(sealed_block(*range(first, first + count)))
            sequence(store, 1000)
        hashes = [row.hash for row in store.leaves(0, 858)]
        runs = Accumulator().extend(hashes)
        for run in runs:
            end = run.start + len(run.hashes)
            assert [one.hash for one in store.node_range(run.level, run.start, end)] == run.hashes
            assert (
                store.nodes([(run.level, number) for number in range(run.start, end)][:300])
                == run.hashes[:300]
            )
        for size in (1, 255, 256, 257, 512, 858):
            proof = inclusion_proof(size // 2, size, store.nodes)
            assert verify_inclusion(hashes[size // 2], size // 2, size, proof, root_hash(size, store.nodes))

    @pytest.mark.parametrize("place", [(0, 1), (1, 0), (5, 5)])
    def test_a_node_that_is_not_there_is_an_error(self, store: EventStore, place: tuple[int, int]) -> None:
        """A missing hash stops the work instead of giving a wrong root."""
        store.append([leaf_row(0)], [])
        with refused(IntegrityError, "node-missing"):
            store.nodes([(0, 0), place])

    def test_the_checkpoint_of_the_largest_tree_is_the_latest(self, store: EventStore) -> None:
        """Checkpoints are kept as text and the largest size wins."""
        store.store_checkpoint("one\n1\n—\n", 1, NOON)
        store.store_checkpoint("two\n20\n—\n", 20, NOON)
        store.store_checkpoint("three\n3\n—\n", 3, NOON - timedelta(hours=1))
        assert store.latest_checkpoint() == "two\n20\n—\n"
        assert store.latest_checkpoint_at() == NOON
        every = [(1, "one\n1\n—\n"), (3, "three\n3\n—\n"), (20, "two\n20\n—\n")]
        assert list(store.stored_checkpoints(None, None)) == every
        assert list(store.stored_checkpoints(1, 3)) == every[1:2]
        assert list(store.stored_checkpoints(3, None)) == every[2:]

    def test_there_is_one_checkpoint_for_each_size(self, store: EventStore) -> None:
        """A second checkpoint of the same size is refused: it may contradict the first."""
        store.store_checkpoint("one\n5\n—\n", 5, NOON)
        with refused(IntegrityError, "checkpoint-duplicate"):
            store.store_checkpoint("two\n5\n—\n", 5, NOON)

    def test_openings_belong_to_their_leaf(self, store: EventStore) -> None:
        """Openings come back whole with the number of their leaf, by number and field; the outbox's do not."""
        sealed = [seal(request_answered(number)) for number in range(3)]
        for event in sealed:
            store.record(event)
        sequence(store, 2)
        expected = [(number, opening) for number in range(2) for opening in sealed[number].openings]
        assert list(store.openings(0, 3)) == expected
        assert list(store.openings(1, 2)) == expected[2:]

    def test_any_text_that_an_event_holds_survives(self, store: EventStore) -> None:
        """Personal values of every script come back character for character."""
        value = "Zoë 李小龍 \N{GRINNING FACE} 'quote' \"double\" \\x00 %s"
        sealed = seal(request_answered(0, path=value))
        store.record(sealed)
        sequence(store, 1)
        assert list(store.openings(0, 1)) == [(0, sealed.openings[0])]

    def test_erasing_a_person_leaves_the_others(self, store: EventStore) -> None:
        """Openings about one id go, in outbox and log alike; those of the acting person stay."""
        store.record(seal(principal_suspended(0, actor=ALICE, principal=BOB)))
        sequence(store, 1)
        store.record(seal(request_answered(1, principal=BOB)))
        assert store.erase_subject("ten_other", BOB) == 0
        assert store.erase_subject(TENANT, BOB) == 3
        assert store.erase_subject(TENANT, BOB) == 0
        sequence(store, 1)
        assert [(number, opening.field) for number, opening in store.openings(0, 9)] == [(0, "source")]

    def test_retention_goes_by_class_and_age(self, store: EventStore) -> None:
        """Openings of one class older than a moment go; younger ones and other classes stay."""
        store.record(seal(principal_suspended(0)))
        for number in (1, 2, 3):
            store.record(seal(request_answered(number, path="/")))
        sequence(store, 10)
        assert store.erase_before(Retention.ACCESS, NOON + timedelta(seconds=3)) == 2
        assert [number for number, _ in store.openings(0, 9)] == [0, 0, 3]
        assert store.erase_before(Retention.IDENTITY, NOON) == 0

    @pytest.mark.parametrize("batch", [1, 3, 1000])
    def test_the_log_grows_signs_and_verifies(self, store: EventStore, batch: int) -> None:
        """With any batches the log verifies under its checkpoints, the proofs hold, and erasure works."""
        fill(store, 13, batch=batch)
        early = sign_checkpoint(store, SIGNER, ORIGIN, NOON)
        early_root = root_hash(13, store.nodes)
        fill(store, 8, first=13, batch=batch)
        assert sign_checkpoint(store, SIGNER, ORIGIN, NOON) is not None
        assert store.pending(1) == []
        root = root_hash(21, store.nodes)
        for row in store.leaves(0, 21):
            assert parse_leaf(row.leaf).id == row.event_id
            proof = inclusion_proof(row.number, 21, store.nodes)
            assert verify_inclusion(row.hash, row.number, 21, proof, root)
        assert verify_consistency(13, early_root, 21, root, consistency_proof(13, 21, store.nodes))
        store.erase_before(Retention.ACCESS, NOON + timedelta(seconds=5))
        report = verify_log(store, checkpoint=early, verifier_key=VERIFIER)
        assert report.faults == ()
        assert (report.size, report.anchored_size, report.signature_verified) == (21, 21, True)
        assert (report.opened, report.redacted) == (32, 10)

    def test_blocks_and_events_become_leaves_in_order(self, store: EventStore) -> None:
        """Events and blocks get numbers in the order of recording; the leaves of a block are what they were."""
        block, alone = sealed_block(1, 2, 3), seal(request_answered(0))
        after = seal(request_answered(9))
        store.record(alone)
        store.record_block(block)
        store.record(after)
        first, second, _ = store.pending(10)
        assert isinstance(first, PendingEvent)
        assert isinstance(second, PendingBlock)
        assert (second.block_id, list(second.leaves)) == (block.ids[0], block.leaves)
        assert len(store.pending(2)) == 2
        assert [sequence(store, 2), sequence(store, 2), sequence(store, 2)] == [4, 1, 0]
        wanted = [alone.leaf, *block.leaves, after.leaf]
        found = list(store.leaves(0, 99))
        assert [(row.number, row.leaf, row.hash) for row in found] == [
            (number, leaf, leaf_hash(leaf)) for number, leaf in enumerate(wanted)
        ]
        assert list(store.leaves(2, 4)) == found[2:4]
        assert list(store.leaves(3, 4)) == found[3:4]

    def test_a_block_is_recorded_once(self, store: EventStore) -> None:
        """A block that was recorded before is refused, in the outbox and in the tree."""
        store.record_block(sealed_block(1, 2))
        sequence(store, 9)
        with refused(IntegrityError, "event-duplicate"):
            store.record_block(sealed_block(1, 3))
        store.record_block(sealed_block(4))
        with refused(IntegrityError, "event-duplicate"):
            store.record_block(sealed_block(4))

    def test_openings_of_blocks_belong_to_their_leaves(self, store: EventStore) -> None:
        """Openings of blocks and of single events come back together, by number and field."""
        store.record(seal(request_answered(0)))
        store.record_block(sealed_block(1, 2, 3))
        store.record_block(sealed_block(4, principal=BOB))
        sequence(store, 99)
        found = list(store.openings(0, 99))
        assert [(number, one.field) for number, one in found] == [
            (number, field) for number in range(5) for field in ("path", "source")
        ]
        assert [number for number, _ in store.openings(2, 4)] == [2, 2, 3, 3]
        assert found[-1][1].subject == BOB
        leaves = {row.number: parse_leaf(row.leaf) for row in store.leaves(0, 99)}
        assert all(check_personal(leaves[number], one.field, one.value, one.salt) for number, one in found)

    def test_erasing_reaches_blocks(self, store: EventStore) -> None:
        """Erasing a person, or by age, deletes the openings of blocks too, and the log verifies as redacted."""
        store.record_block(sealed_block(1, 2))
        store.record_block(sealed_block(3, principal=BOB))
        sequence(store, 99)
        store.record_block(sealed_block(4))  # still in the outbox
        assert store.erase_subject("ten_other", ALICE) == 0
        assert store.erase_subject(TENANT, ALICE) == 6
        assert {one.subject for _, one in store.openings(0, 9)} == {BOB}
        sequence(store, 99)
        assert store.erase_before(Retention.IDENTITY, NOON + timedelta(days=1)) == 0
        assert store.erase_before(Retention.ACCESS, NOON) == 0
        assert store.erase_before(Retention.ACCESS, NOON + timedelta(days=1)) == 2
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
        report = verify_log(store, verifier_key=VERIFIER)
        assert report.verified
        assert (report.opened, report.redacted) == (0, 8)

    def test_openings_do_not_hold_the_record_salt(self, store: EventStore) -> None:
        """Each opening has a salt of its own: the remaining ones reveal nothing of an erased value."""
        store.record(seal(request_answered(0)))
        sequence(store, 1)
        openings: list[CommitmentOpening] = [opening for _, opening in store.openings(0, 1)]
        assert len({opening.salt for opening in openings}) == len(openings) == 2
