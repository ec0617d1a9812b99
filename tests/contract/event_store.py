"""The contract of `audit.log.EventStore`: one suite for the fake and for every real storage.

A storage subclasses `EventStoreContract` and gives it a fixture `store`: an empty store inside one
open transaction. Nothing of the suite commits.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.events import Retention
from doorward.audit.leaf import CommitmentOpening, parse_leaf
from doorward.audit.log import EventStore, StoredLeaf, StoredNode, sequence, sign_checkpoint
from doorward.audit.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from doorward.audit.note import render_verifier_key, verifier_key
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from tests.support.events import ALICE, BOB, principal_suspended, request_answered, seal
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
        """Level 0 returns the leaves' hashes, other levels the stored nodes; asking twice is allowed."""
        rows = [leaf_row(number) for number in range(4)]
        stored = [StoredNode(1, 0, b"a" * 32), StoredNode(1, 1, b"b" * 32), StoredNode(2, 0, b"c" * 32)]
        store.append(rows, stored)
        asked = [(2, 0), (0, 3), (1, 1), (0, 3), (1, 0)]
        assert store.nodes(asked) == [b"c" * 32, rows[3].hash, b"b" * 32, rows[3].hash, b"a" * 32]
        assert list(store.node_range(1, 0, 2)) == stored[:2]
        assert list(store.node_range(1, 1, 9)) == stored[1:2]
        assert list(store.node_range(2, 0, 1)) == stored[2:]

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

    def test_openings_do_not_hold_the_record_salt(self, store: EventStore) -> None:
        """Each opening has a salt of its own: the remaining ones reveal nothing of an erased value."""
        store.record(seal(request_answered(0)))
        sequence(store, 1)
        openings: list[CommitmentOpening] = [opening for _, opening in store.openings(0, 1)]
        assert len({opening.salt for opening in openings}) == len(openings) == 2
