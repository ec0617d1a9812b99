"""Checking the log: every leaf is hashed again and held against what was stored and what was signed.

Not here: proofs for single leaves (`merkle`), the file format of an export (`export`).

What is held, in this order:
    1. the checkpoints: every stored one and the caller's own; signature, origin, form, and the size that
       it is kept under; with a key there must be one that is signed as soon as there is a leaf;
    2. every leaf against its own stored hash, so that an altered leaf is named;
    3. every leaf against the event id that its row is filed under;
    4. every stored node against the leaves below it, so that a rewritten hash is placed;
    5. the root at each checkpoint's size, recomputed from the leaves: consistency without a proof;
    6. every personal value that is still there against its commitment; those gone are counted.
Whoever owns the database can rewrite all of it but a checkpoint that is kept elsewhere: only the
caller's checkpoint with the caller's key proves anything against him.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint; DESIGN section 2.7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from doorward.audit.judging import LogJudge, describe_leaf
from doorward.audit.leaf import CommitmentOpening
from doorward.audit.log import EventStore, StoredLeaf
from doorward.audit.merkle import HASH_BYTES, NodeRun, leaf_hash
from doorward.audit.note import parse_verifier_key
from doorward.audit.report import LogFaultCode, VerificationReport

BLOCK = 4096
"""Leaves in memory at a time: some megabytes."""
_NOTHING = bytes(HASH_BYTES)
"""Stands in for the hash of a leaf that is not there; no leaf is known to hash to it."""


def verify_log(
    store: EventStore,
    *,
    checkpoint: str | None = None,
    verifier_key: str | None = None,
    personal: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> VerificationReport:
    """Check the whole log at rest; the numbered steps are those above.

    Args:
        store: inside one transaction that sees one state.
        checkpoint: a signed note that the caller kept elsewhere; the older, the more it covers.
        verifier_key: the log's verifier key as the caller kept it; without it no signature is checked.
        personal: also hold personal values against their commitments.
        progress: called with (leaves done, leaves in all) after each block.

    Returns:
        The report; whatever is wrong with the log is in it and not raised.

    Raises:
        MalformedInput: `key-malformed`: the caller's key is not one.

    Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
    Not checked: events that are still in the outbox.
    """
    judge = LogJudge(None if verifier_key is None else parse_verifier_key(verifier_key))
    if checkpoint is not None:
        judge.add_checkpoint("given", checkpoint)  # 1
    if store.latest_checkpoint() is None:
        judge.note_missing_checkpoint("log")
    size = store.tree_size()
    _anchor_stored(judge, store, None, 0)
    wrong: defaultdict[int, set[int]] = defaultdict(set)  # by level: what differs from what is stored
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        _anchor_stored(judge, store, start, end)
        rows = {row.number: row for row in store.leaves(start, end)}
        hashes = [_check_leaf(judge, number, rows.get(number), wrong[0]) for number in range(start, end)]
        for run in judge.extend(hashes):  # 5
            _check_nodes(judge, store, run, wrong)
        if personal:
            _check_personal(judge, store, rows, start, end)
        if progress is not None:
            progress(end, size)
    _anchor_stored(judge, store, size, None)
    return judge.report()


def _anchor_stored(judge: LogJudge, store: EventStore, above: int | None, to: int | None) -> None:
    """Step 1 for the checkpoints that are kept under a size of this range."""
    for filed_under, text in store.stored_checkpoints(above, to):
        judge.add_checkpoint("stored", text, filed_under=filed_under)


def _check_leaf(judge: LogJudge, number: int, row: StoredLeaf | None, wrong: set[int]) -> bytes:
    """Steps 2 and 3: return the recomputed hash."""
    if row is None:
        wrong.add(number)
        judge.add_fault(LogFaultCode.LEAF_MISSING, f"leaf {number} is not there", number=number)
        return _NOTHING
    digest = leaf_hash(row.leaf)
    if digest != row.hash:  # 2
        wrong.add(number)
        judge.add_fault(
            LogFaultCode.LEAF_ALTERED,
            f"leaf {number} was altered",
            number=number,
            leaf=row.leaf,
            event_id=row.event_id,
        )
    elif f'"id":"{row.event_id}"'.encode("utf-8", "surrogatepass") not in row.leaf:  # 3
        judge.add_fault(
            LogFaultCode.LEAF_MISLABELLED,
            f"leaf {number} is filed under the id of another event",
            number=number,
            leaf=row.leaf,
        )
    return digest


def _check_nodes(judge: LogJudge, store: EventStore, run: NodeRun, wrong: defaultdict[int, set[int]]) -> None:
    """Step 4: where a node differs and nothing below it did, the hashes below were rewritten."""
    end = run.start + len(run.hashes)
    stored = {node.number: node.hash for node in store.node_range(run.level, run.start, end)}
    for number, digest in enumerate(run.hashes, start=run.start):
        if stored.get(number) == digest:
            continue
        wrong[run.level].add(number)
        if wrong[run.level - 1].isdisjoint((2 * number, 2 * number + 1)):
            first, last = number << run.level, ((number + 1) << run.level) - 1
            message = f"the hash over leaves {first} to {last} is missing, or it or they were rewritten"
            if run.level == 1:
                named = (
                    " ".join(describe_leaf(row.leaf, row.event_id)) for row in store.leaves(first, last + 1)
                )
                message += f": {', '.join(named)}"
            judge.add_fault(LogFaultCode.NODE_ALTERED, message, number=first)


def _check_personal(
    judge: LogJudge, store: EventStore, rows: dict[int, StoredLeaf], start: int, end: int
) -> None:
    """Step 6."""
    openings: defaultdict[int, list[CommitmentOpening]] = defaultdict(list)
    for number, opening in store.openings(start, end):
        openings[number].append(opening)
    for number, row in rows.items():
        judge.check_personal(number, row.leaf, openings[number])
