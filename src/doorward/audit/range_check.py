"""Checking one range of the stored log: the steps of `verifying` that need no other range.

Ranges begin at multiples of 16,384 leaves, so a range is a complete subtree (only the last one is shorter), and one span of the
search index. They can be checked in any order and in several processes (`runtime.verify_processes`). What joins them, and
the numbers of the steps, are in `verifying`.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from doorward.audit.index import SPAN_LEAVES
from doorward.audit.index_check import IndexCheck
from doorward.audit.judging import FaultList, check_openings, describe_leaf, read_checkpoint
from doorward.audit.log import EventStore, StoredLeaf
from doorward.audit.merkle import HASH_BYTES, Accumulator, NodeRun, leaf_hash
from doorward.audit.note import Checkpoint, parse_verifier_key
from doorward.audit.report import LogFault, LogFaultCode

RANGE_LEVEL = 14
"""A range is a subtree of this level: 16,384 leaves, a fifth of a second of work."""
BLOCK = 1024
"""Leaves in memory at a time: some megabytes, with their personal values."""
_NOTHING = bytes(HASH_BYTES)
"""The hash used for a missing leaf; no leaf with this hash is known."""

WrongNodes = defaultdict[int, set[int]]
"""The numbers of nodes that differ from what is stored, by level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangePlan:
    """What the checks of all ranges have in common; all of them read the same length of the log.

    Args:
        size: leaves of the log, when verifying began.
        spans: spans of the search index that must be complete; 0 if ranges are smaller than spans.
        key: the log's verifier key; None checks no signature.
        personal: also compare personal values with their commitments.
        stops: sizes of checkpoints that are not stored, to compute the heads there.
        level: the level of a range in the tree.
    """

    size: int
    spans: int
    key: str | None
    personal: bool
    stops: Collection[int] = ()
    level: int = RANGE_LEVEL

    def starts(self) -> range:
        """Return the number of the first leaf of each range."""
        return range(0, self.size, 1 << self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRange:
    """The result for one range.

    Args:
        start: the number of its first leaf.
        end: the number after its last leaf.
        peaks: the peaks of the tree of its leaves.
        heads: for each checkpoint that ends in it, by size: the peaks of the tree of its leaves before that end.
        checkpoints: the stored checkpoints that end in it and can be read, by size.
        root_wrong: the stored hash over the whole range differs.
        faults: at most 100 faults with a place.
        faults_omitted: the number of further ones.
        index_faults: sentences about the search index.
        opened: personal values that match their commitments.
        redacted: commitments without a value.
    """

    start: int
    end: int
    peaks: Sequence[bytes]
    heads: Mapping[int, Sequence[bytes]]
    checkpoints: Sequence[Checkpoint]
    root_wrong: bool
    faults: Sequence[LogFault]
    faults_omitted: int
    index_faults: Sequence[str]
    opened: int
    redacted: int


def check_range(store: EventStore, plan: RangePlan, start: int) -> CheckedRange:
    """Check the range that begins with a leaf; faults of the log are in the result and are not raised.

    Args:
        store: in one transaction with a consistent snapshot, which may be younger than that of another range.
        plan: the same for all ranges.
        start: one of `plan.starts()`.
    """
    return _RangeCheck(store, plan, start).run()


class _RangeCheck:
    def __init__(self, store: EventStore, plan: RangePlan, start: int) -> None:
        self._store, self._plan, self._start = store, plan, start
        self._end = min(start + (1 << plan.level), plan.size)
        self._key = None if plan.key is None else parse_verifier_key(plan.key)
        self._found = FaultList()
        self._tree = Accumulator()
        self._wrong: WrongNodes = defaultdict(set)
        self._heads: dict[int, list[bytes]] = {}
        self._checkpoints: list[Checkpoint] = []
        self._index_faults: list[str] = []
        self._index = IndexCheck(store, plan.spans, start // SPAN_LEAVES, self._index_faults.append)
        self._opened = self._redacted = 0

    def run(self) -> CheckedRange:
        for begin in range(self._start, self._end, BLOCK):
            self._check_block(begin, min(begin + BLOCK, self._end))
        return CheckedRange(
            start=self._start,
            end=self._end,
            peaks=self._tree.peaks(),
            heads=self._heads,
            checkpoints=self._checkpoints,
            root_wrong=self._start >> self._plan.level in self._wrong[self._plan.level],
            faults=self._found.faults,
            faults_omitted=self._found.omitted,
            index_faults=self._index_faults,
            opened=self._opened,
            redacted=self._redacted,
        )

    def _check_block(self, start: int, end: int) -> None:
        stops = self._read_checkpoints(start, end)  # 1
        leaves, hashes = _check_leaves(
            self._found, list(self._store.leaves(start, end)), start, end, self._wrong[0]
        )
        for run in self._extend(hashes, start, stops):
            check_nodes(self._found, self._store, run, self._wrong)
        self._index.add(leaves)  # 7
        if self._plan.personal:
            opened, redacted = check_openings(
                self._found, start, leaves, self._store.openings(start, end)
            )  # 6
            self._opened += opened
            self._redacted += redacted

    def _read_checkpoints(self, above: int, to: int) -> set[int]:
        """Step 1 for the checkpoints that are stored under a size in this block; return where to compute heads."""
        for filed_under, text in self._store.stored_checkpoints(above, to):
            one = read_checkpoint(self._found, self._key, "stored", text, filed_under=filed_under)
            if one is not None:
                self._checkpoints.append(one)
        return {
            size
            for size in (*self._plan.stops, *(one.size for one in self._checkpoints))
            if above < size <= to
        }

    def _extend(self, hashes: list[bytes], start: int, stops: set[int]) -> list[NodeRun]:
        """Add the leaves of a block to the tree of the range; return the complete nodes, one run for a level."""
        runs: dict[int, NodeRun] = {}
        done = 0
        for stop in sorted({*stops, start + len(hashes)}):
            for level, first, row in self._tree.extend(hashes[done : stop - start]):
                run = runs.setdefault(level, NodeRun(level, first + (self._start >> level), []))
                run.hashes.extend(row)
            done = stop - start
            if stop in stops:
                self._heads[stop] = self._tree.peaks()
        return [runs[level] for level in sorted(runs)]


def _check_leaves(
    found: FaultList, stored: list[StoredLeaf], start: int, end: int, wrong: set[int]
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
            found.add(LogFaultCode.LEAF_ALTERED, message, number=row.number, leaf=row.leaf)
        rows[row.number] = row
    hashes = [_check_leaf(found, number, rows.get(number), wrong) for number in range(start, end)]
    return [rows[number].leaf if number in rows else b"" for number in range(start, end)], hashes


def _check_leaf(found: FaultList, number: int, row: StoredLeaf | None, wrong: set[int]) -> bytes:
    """Steps 2 and 3: return the recomputed hash."""
    if row is None:
        wrong.add(number)
        found.add(LogFaultCode.LEAF_MISSING, f"leaf {number} is missing", number=number)
        return _NOTHING
    digest = leaf_hash(row.leaf)
    if digest != row.hash:  # 2
        wrong.add(number)
        found.add(
            LogFaultCode.LEAF_ALTERED,
            f"leaf {number} was altered",
            number=number,
            leaf=row.leaf,
            event_id=row.event_id,
        )
    elif row.event_id and f'"id":"{row.event_id}"'.encode("utf-8", "surrogatepass") not in row.leaf:  # 3
        found.add(
            LogFaultCode.LEAF_MISLABELLED,
            f"the row of leaf {number} has the id of another event",
            number=number,
            leaf=row.leaf,
        )
    return digest


def check_nodes(found: FaultList, store: EventStore, run: NodeRun, wrong: WrongNodes) -> None:
    """Step 4: if a node differs and nothing below it does, a stored hash was rewritten.

    Args:
        found: takes the faults.
        store: the stored nodes.
        run: nodes that were recomputed from the leaves.
        wrong: what differs below them; what differs among them is added.
    """
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
            found.add(LogFaultCode.NODE_ALTERED, message, number=first)
