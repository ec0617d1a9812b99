"""Verifying the log: each test acts as an attacker who controls the database and changes one thing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit import range_check, verifying
from doorward.audit.log import StoredLeaf, sign_checkpoint
from doorward.audit.merkle import EMPTY_ROOT, leaf_hash
from doorward.audit.note import Checkpoint, render_checkpoint, sign_note
from doorward.audit.report import LogFaultCode, VerificationReport
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, fill
from tests.support.events import ALICE, MemoryEventStore, request_answered, seal
from tests.support.ports import NOON


@pytest.fixture(params=[range_check.RANGE_LEVEL, 2, 1], autouse=True)
def range_level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds for a log of one range, and for one of many."""
    monkeypatch.setattr(verifying, "RANGE_LEVEL", request.param)


@pytest.fixture
def store() -> MemoryEventStore:
    """A log of 11 leaves, signed at 7 and at 11."""
    store = MemoryEventStore()
    fill(store, 7)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    fill(store, 4, first=7)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    return store


def rewrite(store: MemoryEventStore, number: int, *, with_hash: bool) -> StoredLeaf:
    """Change the status in one leaf, and its stored hash if wanted."""
    row = store.rows[number]
    leaf = row.leaf.replace(b'"status":200', b'"status":403')
    store.rows[number] = StoredLeaf(number, row.event_id, leaf, leaf_hash(leaf) if with_hash else row.hash)
    return store.rows[number]


def codes(report: VerificationReport) -> list[LogFaultCode]:
    """Return the codes of the faults, in order."""
    return [fault.code for fault in report.faults]


def head(size: int, root: bytes, *, origin: str = ORIGIN, signer: Ed25519PrivateKey = SIGNER) -> str:
    """Return a signed checkpoint with any content."""
    return sign_note(render_checkpoint(Checkpoint(origin=origin, size=size, root=root)), signer, origin)


def test_a_sound_log(store: MemoryEventStore) -> None:
    """An unchanged log has no fault, and the report says what it is based on."""
    report = verify_log(store, verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.origin, report.size, report.anchored_size) == (ORIGIN, 11, 11)
    assert (report.verified, report.signature_verified) == (True, True)
    assert (report.opened, report.redacted) == (22, 0)


def test_without_a_key_no_signature_is_claimed(store: MemoryEventStore) -> None:
    """The log is consistent, and the report says that no signature was verified."""
    report = verify_log(store)
    assert report.faults == ()
    assert (report.verified, report.signature_verified) == (False, False)
    store.checkpoints.clear()
    assert verify_log(store).faults == ()


def test_an_empty_log() -> None:
    """An empty log has no fault, no covered leaf, and the empty root."""
    report = verify_log(MemoryEventStore(), verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.origin, report.size, report.anchored_size, report.root) == ("", 0, 0, EMPTY_ROOT)
    assert report.signature_verified is False


def test_a_log_without_its_checkpoints_is_a_fault(store: MemoryEventStore) -> None:
    """A log with leaves and without a checkpoint is a fault, not a new log."""
    rewritten = MemoryEventStore()
    fill(rewritten, 11, first=100)
    report = verify_log(rewritten, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_MISSING]
    assert "11 of 11 leaves are not covered by a signature" in report.faults[0].message
    assert (report.verified, report.anchored_size) == (False, 0)


def test_a_kept_checkpoint_does_not_stand_in_for_the_stored_ones(store: MemoryEventStore) -> None:
    """With a kept checkpoint, later leaves still need a stored one."""
    kept = store.checkpoints[0][1]
    store.checkpoints.clear()
    report = verify_log(store, checkpoint=kept, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_MISSING]
    assert report.anchored_size == 7


def test_a_kept_checkpoint_of_all_leaves_proves_all(store: MemoryEventStore) -> None:
    """If the kept checkpoint covers all leaves, no other is needed."""
    kept = store.checkpoints[1][1]
    store.checkpoints.clear()
    report = verify_log(store, checkpoint=kept, verifier_key=VERIFIER)
    assert (report.faults, report.verified) == ((), True)


def test_a_checkpoint_of_the_empty_log_covers_no_leaf(store: MemoryEventStore) -> None:
    """A checkpoint of the empty log does not cover leaves."""
    store.checkpoints = [(0, head(0, EMPTY_ROOT), NOON)]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_MISSING]


def test_leaves_after_the_checkpoint_are_not_anchored(store: MemoryEventStore) -> None:
    """The leaves after the last checkpoint are counted as not covered."""
    fill(store, 2, first=11)
    report = verify_log(store, verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.size, report.anchored_size) == (13, 11)


def test_an_earlier_checkpoint_holds(store: MemoryEventStore) -> None:
    """A checkpoint that the caller has kept is compared at its own size."""
    report = verify_log(store, checkpoint=store.checkpoints[0][1], verifier_key=VERIFIER)
    assert report.faults == ()
    assert report.anchored_size == 11


@pytest.mark.parametrize("number", [0, 5, 10])
def test_an_altered_leaf_is_named(store: MemoryEventStore, number: int) -> None:
    """An altered leaf is reported with number, event id and type, and the roots differ."""
    row = rewrite(store, number, with_hash=False)
    report = verify_log(store, verifier_key=VERIFIER)
    fault = report.faults[0]
    assert (fault.code, fault.number) == (LogFaultCode.LEAF_ALTERED, number)
    assert (fault.event_id, fault.event_type) == (row.event_id, "request:answered")
    assert row.event_id in str(fault)
    assert codes(report)[1:] == [LogFaultCode.ROOT_MISMATCH]


def test_an_altered_leaf_that_is_no_json_is_named(store: MemoryEventStore) -> None:
    """If the bytes do not show the type, the row still has the event's id."""
    row = store.rows[3]
    store.rows[3] = StoredLeaf(3, row.event_id, b"\xff\x00", row.hash)
    fault = verify_log(store).faults[0]
    assert (fault.code, fault.event_id, fault.event_type) == (LogFaultCode.LEAF_ALTERED, row.event_id, "")


@pytest.mark.parametrize(("number", "pair"), [(4, (4, 5)), (5, (4, 5)), (0, (0, 1))])
def test_a_leaf_rewritten_with_its_hash_is_placed(
    store: MemoryEventStore, number: int, pair: tuple[int, int]
) -> None:
    """A leaf rewritten together with its hash is found by the node above it."""
    rewrite(store, number, with_hash=True)
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.NODE_ALTERED, LogFaultCode.ROOT_MISMATCH]
    assert report.faults[0].number == pair[0]
    for member in pair:
        assert store.rows[member].event_id in report.faults[0].message


def test_a_last_leaf_rewritten_with_its_hash_fails_the_root(store: MemoryEventStore) -> None:
    """The last leaf of an odd log has no node above it, but the root differs."""
    rewrite(store, 10, with_hash=True)
    assert codes(verify_log(store)) == [LogFaultCode.ROOT_MISMATCH]


def test_a_log_rewritten_whole_fails_the_checkpoint(store: MemoryEventStore) -> None:
    """Rewritten leaves, hashes and nodes are consistent, but differ from the signed root."""
    rewritten = MemoryEventStore(checkpoints=store.checkpoints)
    fill(rewritten, 11, first=100)
    report = verify_log(rewritten, checkpoint=store.checkpoints[0][1], verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.ROOT_MISMATCH, LogFaultCode.ROOT_MISMATCH]
    assert "given" in report.faults[0].message
    assert report.anchored_size == 0


def test_a_log_rewritten_after_the_given_checkpoint_is_anchored_up_to_it(store: MemoryEventStore) -> None:
    """Leaves of an earlier checkpoint stay covered."""
    rewritten = MemoryEventStore(checkpoints=store.checkpoints)
    fill(rewritten, 7)
    fill(rewritten, 4, first=100)
    report = verify_log(rewritten, checkpoint=store.checkpoints[0][1], verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.ROOT_MISMATCH]
    assert report.anchored_size == 7


def test_a_truncated_log_fails_its_checkpoint(store: MemoryEventStore) -> None:
    """A log cut to 9 leaves is shorter than its checkpoint."""
    del store.rows[9:]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.LOG_TRUNCATED]
    assert "covers 11 leaves, the log has 9" in report.faults[0].message


def test_a_log_truncated_with_its_checkpoints_fails_the_kept_one(store: MemoryEventStore) -> None:
    """If later checkpoints were removed too, the kept one still fails."""
    kept = store.checkpoints.pop()[1]
    del store.rows[7:]
    assert verify_log(store, verifier_key=VERIFIER).faults == ()
    assert codes(verify_log(store, checkpoint=kept, verifier_key=VERIFIER)) == [LogFaultCode.LOG_TRUNCATED]


def test_an_emptied_log_fails_its_checkpoint(store: MemoryEventStore) -> None:
    """A log without leaves and with a checkpoint is truncated, not new."""
    store.rows.clear()
    assert codes(verify_log(store)) == [LogFaultCode.LOG_TRUNCATED]


def test_a_missing_leaf_is_named(store: MemoryEventStore) -> None:
    """A deleted row is reported by its number, and the others keep their numbers."""
    store.size = 11
    del store.rows[4]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.LEAF_MISSING, LogFaultCode.ROOT_MISMATCH]
    assert (report.faults[0].number, report.size) == (4, 11)


def test_a_leaf_that_is_stored_twice_is_named(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged leaf comes before the true one: a reader would show the first, so verifying must not take the second only."""
    forged = store.rows[4]._replace(leaf=store.rows[4].leaf.replace(b'"status":200', b'"status":403'))
    rows = [*store.rows[:4], forged, *store.rows[4:]]
    monkeypatch.setattr(
        store, "leaves", lambda start, end: (row for row in rows if start <= row.number < end)
    )
    report = verify_log(store, verifier_key=VERIFIER)
    assert [(one.code, one.number) for one in report.faults] == [(LogFaultCode.LEAF_ALTERED, 4)]
    assert "stored twice" in report.faults[0].message


def as_block(store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch, *, without: int | None = None) -> None:
    """Let the leaves be those of a block: their rows have no id. One of them may be damaged and not be there."""
    rows = [row._replace(event_id="") for row in store.rows]
    monkeypatch.setattr(
        store,
        "leaves",
        lambda start, end: (row for row in rows if start <= row.number < end and row.number != without),
    )


def test_a_sound_block(store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is compared as a whole: every leaf and every personal value counts."""
    as_block(store, monkeypatch)
    report = verify_log(store, verifier_key=VERIFIER)
    assert (report.faults, report.size, report.opened) == ((), 11, 22)


@pytest.mark.parametrize("number", [0, 4, 10])
def test_an_altered_leaf_of_a_block_is_named(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """One leaf that differs is found among those that do not."""
    rewrite(store, number, with_hash=False)
    as_block(store, monkeypatch)
    report = verify_log(store, verifier_key=VERIFIER)
    assert (report.faults[0].code, report.faults[0].number) == (LogFaultCode.LEAF_ALTERED, number)


@pytest.mark.parametrize("number", [4, 10])
def test_a_missing_leaf_of_a_block_is_named(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also the last one. Its personal values are there, but there is nothing to compare them with."""
    as_block(store, monkeypatch, without=number)
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.LEAF_MISSING, LogFaultCode.ROOT_MISMATCH]
    assert (report.faults[0].number, report.opened, report.redacted) == (number, 20, 0)


def test_a_leaf_of_a_block_under_the_number_of_another_is_named(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are as many leaves as there should be, and each has its hash; but one number is there twice, and one never."""
    rows = [row._replace(event_id="") for row in store.rows]
    rows[5] = rows[5]._replace(number=4)
    monkeypatch.setattr(
        store, "leaves", lambda start, end: (row for row in rows if start <= row.number < end)
    )
    report = verify_log(store, verifier_key=VERIFIER)
    assert [(one.code, one.number) for one in report.faults[:2]] == [
        (LogFaultCode.LEAF_ALTERED, 4),
        (LogFaultCode.LEAF_MISSING, 5),
    ]


def test_a_missing_node_is_named(store: MemoryEventStore) -> None:
    """A missing node is a fault."""
    del store.inner[1, 2]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.NODE_ALTERED]
    assert report.faults[0].number == 4


def test_an_altered_upper_node_is_placed(store: MemoryEventStore) -> None:
    """A rewritten hash of a higher level is reported with the leaves that it covers."""
    store.inner[2, 1] = bytes(32)
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.NODE_ALTERED]
    assert "leaves 4 to 7" in report.faults[0].message


def test_a_mislabelled_leaf_is_named(store: MemoryEventStore) -> None:
    """A row with the id of another event is a fault, because look-ups would find the wrong leaf."""
    row = store.rows[3]
    store.rows[3] = row._replace(event_id="evt_somebodyelse")
    report = verify_log(store, verifier_key=VERIFIER, personal=False)
    assert codes(report) == [LogFaultCode.LEAF_MISLABELLED]
    assert report.faults[0].event_id == row.event_id


def test_altered_personal_data_is_named(store: MemoryEventStore) -> None:
    """A personal value that does not match its commitment is reported with leaf and field."""
    kept = next(row for row in store.kept if row.event_id == store.rows[2].event_id)
    kept.opening = kept.opening._replace(value="198.51.100.1")
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.PERSONAL_ALTERED]
    fault = report.faults[0]
    assert (fault.number, fault.field, fault.event_id) == (2, kept.opening.field, store.rows[2].event_id)
    assert "198.51.100.1" not in str(fault)
    assert (report.opened, report.redacted) == (21, 1)


def test_erased_personal_data_is_redacted(store: MemoryEventStore) -> None:
    """Erasure is no fault: the hashes match and the commitments count as redacted."""
    store.erase_subject(TENANT, ALICE)
    report = verify_log(store, verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.opened, report.redacted) == (0, 22)


def test_personal_data_can_be_left_aside(store: MemoryEventStore) -> None:
    """Without the personal part no value is opened or counted."""
    report = verify_log(store, verifier_key=VERIFIER, personal=False)
    assert (report.opened, report.redacted) == (0, 0)


@pytest.mark.parametrize(
    ("checkpoint", "code"),
    [
        ("", LogFaultCode.CHECKPOINT_INVALID),
        ("corp.example/audit\n11\n", LogFaultCode.CHECKPOINT_INVALID),
        (head(11, bytes(32)), LogFaultCode.ROOT_MISMATCH),
        (head(0, bytes(32)), LogFaultCode.ROOT_MISMATCH),
        (head(12, bytes(32)), LogFaultCode.LOG_TRUNCATED),
        (
            head(11, bytes(32), signer=Ed25519PrivateKey.from_private_bytes(bytes(32))),
            LogFaultCode.CHECKPOINT_INVALID,
        ),
        (head(11, bytes(32), origin="corp.example/other"), LogFaultCode.CHECKPOINT_INVALID),
    ],
)
def test_a_bad_checkpoint_is_a_fault(store: MemoryEventStore, checkpoint: str, code: LogFaultCode) -> None:
    """A given checkpoint that is malformed, forged, foreign or contradicted is a fault of the report."""
    assert codes(verify_log(store, checkpoint=checkpoint, verifier_key=VERIFIER)) == [code]


def test_the_checkpoint_of_an_empty_log_holds(store: MemoryEventStore) -> None:
    """A checkpoint of the empty log is consistent with every log."""
    report = verify_log(store, checkpoint=head(0, EMPTY_ROOT), verifier_key=VERIFIER)
    assert report.faults == ()


def test_a_checkpoint_of_another_log_is_a_fault(store: MemoryEventStore) -> None:
    """Without a key, the two checkpoints must at least have the same origin."""
    report = verify_log(store, checkpoint=head(0, EMPTY_ROOT, origin="corp.example/other"))
    assert codes(report) == [LogFaultCode.CHECKPOINT_FOREIGN] * 2


def test_a_forged_stored_checkpoint_is_a_fault(store: MemoryEventStore) -> None:
    """A checkpoint in the database that the log's key did not sign is a fault."""
    forger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    store.checkpoints = [(11, head(11, bytes(32), signer=forger), NOON)]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_INVALID]
    assert report.signature_verified is False


def test_a_bad_key_is_the_caller_s_fault(store: MemoryEventStore) -> None:
    """A malformed verifier key raises an error: it is not a fault of the log."""
    with pytest.raises(MalformedInput):
        verify_log(store, verifier_key="corp.example/audit")


def test_blocks_and_progress(store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read in blocks, faults in every block are found, and each block is reported."""
    monkeypatch.setattr(verifying, "RANGE_LEVEL", 2)
    monkeypatch.setattr(range_check, "BLOCK", 3)
    rewrite(store, 2, with_hash=True)
    done: list[tuple[int, int]] = []
    report = verify_log(
        store,
        checkpoint=store.checkpoints[0][1],
        verifier_key=VERIFIER,
        progress=lambda *step: done.append(step),
    )
    assert done == [(4, 11), (8, 11), (11, 11)]
    assert codes(report) == [
        LogFaultCode.NODE_ALTERED,
        LogFaultCode.ROOT_MISMATCH,
        LogFaultCode.ROOT_MISMATCH,
    ]
    assert report.faults[0].number == 2


def test_a_log_altered_throughout_lists_a_hundred_faults() -> None:
    """The list of faults is limited, their count is not, and the wrong root is always listed."""
    store = MemoryEventStore()
    fill(store, 120)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    for number in range(120):
        rewrite(store, number, with_hash=False)
    report = verify_log(store)
    assert (len(report.faults), report.faults_omitted) == (101, 20)
    assert report.faults[-1].code is LogFaultCode.ROOT_MISMATCH


def test_one_personal_value_more_than_committed(store: MemoryEventStore) -> None:
    """A personal value without a commitment in its leaf is a fault, not a negative count."""
    extra = seal(request_answered(2, name="alice"))
    store.kept[0].opening = extra.openings[0]
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.PERSONAL_ALTERED]
    assert report.redacted == 1


def test_every_stored_checkpoint_is_checked(store: MemoryEventStore) -> None:
    """An older checkpoint that was altered is a fault, also if the newest one is good."""
    size, text, at = store.checkpoints[0]
    store.checkpoints[0] = (size, text.replace("\n7\n", "\n6\n"), at)
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_INVALID]
    assert "under 7 leaves" in report.faults[0].message


def test_a_checkpoint_kept_under_another_size_is_a_fault(store: MemoryEventStore) -> None:
    """A truncated log cannot hide its newest checkpoint under a smaller size."""
    del store.rows[9:]
    _, text, at = store.checkpoints.pop()
    store.checkpoints.append((8, text, at))
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_INVALID]
    assert "is one of 11 leaves" in report.faults[0].message


@pytest.mark.parametrize("size", [-1, 0, 2**40])
def test_a_checkpoint_under_an_impossible_size_is_read_too(store: MemoryEventStore, size: int) -> None:
    """A checkpoint under any size is read."""
    _, text, at = store.checkpoints[0]
    store.checkpoints.append((size, text, at))
    assert codes(verify_log(store, verifier_key=VERIFIER)) == [LogFaultCode.CHECKPOINT_INVALID]


def test_checkpoints_that_contradict_each_other_are_faults(store: MemoryEventStore) -> None:
    """Of two contradicting heads by one key, the wrong one is reported."""
    other = MemoryEventStore()
    fill(other, 9, first=100)
    text = sign_checkpoint(other, SIGNER, ORIGIN, NOON)
    assert text is not None
    store.checkpoints.append((9, text, NOON))
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.ROOT_MISMATCH]
    assert "first 9 leaves" in report.faults[0].message


def test_many_checkpoints_of_a_rewritten_log_are_one_fault(store: MemoryEventStore) -> None:
    """The first checkpoint that differs is reported, the others are counted."""
    rewrite(store, 0, with_hash=True)
    report = verify_log(store, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.NODE_ALTERED, LogFaultCode.ROOT_MISMATCH]
    assert report.faults_omitted == len(store.checkpoints) - 1
