"""Verifying the stored log: every leaf is hashed again and compared with the stored hashes and the signed roots.

Not here: proofs for single leaves (`merkle`), the file format of an export (`export`).

The checks, in this order:
    1. The checkpoints, every stored one and the caller's: signature, origin, form, and the size under which
       it is stored. With a key, there must be a signed checkpoint if there is a leaf.
    2. Every leaf against its stored hash: this finds an altered leaf.
    3. Every leaf against the event id of its row, if it has a row of its own. A number has one leaf: of two, one could be
       verified and the other one shown.
    4. Every stored node against the leaves below it: this finds a rewritten hash.
    5. The root at the size of each checkpoint, recomputed from the leaves.
    6. Every remaining personal value against its commitment; erased values are counted.
    7. The search index, where it is complete, against the leaves: what it hides, and what it names wrongly.
An attacker who controls the database can rewrite everything in it, but not a checkpoint that is kept elsewhere. So only
the caller's checkpoint, verified with the caller's key, proves anything against this attacker.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import repeat

from doorward.audit.index_check import IndexCheck
from doorward.audit.judging import LogJudge, describe_leaf
from doorward.audit.log import EventStore, StoredLeaf
from doorward.audit.merkle import HASH_BYTES, NodeRun, leaf_hash
from doorward.audit.note import parse_verifier_key
from doorward.audit.report import LogFaultCode, VerificationReport

BLOCK = 1024
"""Leaves in memory at a time: some megabytes, with their personal values."""
_NOTHING = bytes(HASH_BYTES)
"""The hash used for a missing leaf; no leaf with this hash is known."""


def verify_log(
    store: EventStore,
    *,
    checkpoint: str | None = None,
    verifier_key: str | None = None,
    personal: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> VerificationReport:
    """Verify the whole stored log; the numbered steps are in the module's docstring.

    Args:
        store: in one transaction with a consistent snapshot.
        checkpoint: a signed note that the caller has kept elsewhere; later changes to its leaves are found.
        verifier_key: the log's verifier key that the caller has kept; without it no signature is checked.
        personal: also compare personal values with their commitments.
        progress: called with (leaves done, all leaves) after each block.

    Returns:
        The report; faults of the log are in it and are not raised.

    Raises:
        MalformedInput: `key-malformed`: the caller's key is not a verifier key.

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
    index = IndexCheck(store, size, partial(judge.add_overall_fault, LogFaultCode.INDEX_ALTERED))
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        _anchor_stored(judge, store, start, end)
        leaves, hashes = _check_leaves(judge, list(store.leaves(start, end)), start, end, wrong[0])
        for run in judge.extend(hashes):  # 5
            _check_nodes(judge, store, run, wrong)
        index.add(leaves)  # 7
        if personal:
            judge.check_personal(start, leaves, store.openings(start, end))  # 6
        if progress is not None:
            progress(end, size)
    index.finish()
    _anchor_stored(judge, store, size, None)
    return judge.report()


def _anchor_stored(judge: LogJudge, store: EventStore, above: int | None, to: int | None) -> None:
    """Step 1 for the checkpoints that are stored under a size in this range."""
    for filed_under, text in store.stored_checkpoints(above, to):
        judge.add_checkpoint("stored", text, filed_under=filed_under)


def _check_leaves(
    judge: LogJudge, stored: list[StoredLeaf], start: int, end: int, wrong: set[int]
) -> tuple[list[bytes], list[bytes]]:
    """Steps 2 and 3: return the leaves of a block, a missing one empty, and their recomputed hashes."""
    leaves = [row.leaf for row in stored]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    expected = zip(
        range(start, end), repeat(""), leaves, hashes, strict=False
    )  # the rows if nothing is wrong
    if len(stored) == end - start and stored == list(expected):
        return leaves, hashes
    rows: dict[int, StoredLeaf] = {}
    for row in stored:
        if row.number in rows:  # 3
            message = f"leaf {row.number} is stored twice"
            judge.add_fault(LogFaultCode.LEAF_ALTERED, message, number=row.number, leaf=row.leaf)
        rows[row.number] = row
    hashes = [_check_leaf(judge, number, rows.get(number), wrong) for number in range(start, end)]
    return [rows[number].leaf if number in rows else b"" for number in range(start, end)], hashes


def _check_leaf(judge: LogJudge, number: int, row: StoredLeaf | None, wrong: set[int]) -> bytes:
    """Steps 2 and 3: return the recomputed hash."""
    if row is None:
        wrong.add(number)
        judge.add_fault(LogFaultCode.LEAF_MISSING, f"leaf {number} is missing", number=number)
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
    elif row.event_id and f'"id":"{row.event_id}"'.encode("utf-8", "surrogatepass") not in row.leaf:  # 3
        judge.add_fault(
            LogFaultCode.LEAF_MISLABELLED,
            f"the row of leaf {number} has the id of another event",
            number=number,
            leaf=row.leaf,
        )
    return digest


def _check_nodes(judge: LogJudge, store: EventStore, run: NodeRun, wrong: defaultdict[int, set[int]]) -> None:
    """Step 4: if a node differs and nothing below it does, a stored hash was rewritten."""
    end = run.start + len(run.hashes)
    stored = {node.number: node.hash for node in store.node_range(run.level, run.start, end)}
    for number, digest in enumerate(run.hashes, start=run.start):
        if stored.get(number) == digest:
            continue
        wrong[run.level].add(number)
        if wrong[run.level - 1].isdisjoint((2 * number, 2 * number + 1)):
            first, last = number << run.level, ((number + 1) << run.level) - 1
            message = f"the hash over leaves {first} to {last} is missing, or it or the leaves were rewritten"
            if run.level == 1:
                named = (
                    " ".join(describe_leaf(row.leaf, row.event_id)) for row in store.leaves(first, last + 1)
                )
                message += f": {', '.join(named)}"
            judge.add_fault(LogFaultCode.NODE_ALTERED, message, number=first)
