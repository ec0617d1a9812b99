"""The Merkle tree: hashes, appending, inclusion and consistency proofs, and their verification.

Not here: storing hashes (`log.EventStore`), signing the root (`note`).

A subtree is *complete* if it has `2**level` leaves. Its place is (level, number), its
leaves begin at `number * 2**level`, and its hash never changes again. Only complete subtrees are
stored. Every root, and every hash of a proof, is computed from at most 64 of them.

    size 7:   level 2    (2,0)                    The *peaks* of a tree are the complete subtrees that
              level 1    (1,0) (1,1) (1,2)        cover it, largest first; one for each bit of the size:
              level 0    0  1  2  3  4  5  6      here (2,0), (1,2), (0,6).

The verification functions are total: any input gives True or False.

Standard: RFC 9162 section 2.1 (the same tree as RFC 6962), SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from doorward.core.errors import RequestRefused

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
"""RFC 9162 section 2.1.1: the hash of an empty tree is the hash of nothing."""
MAX_SIZE = 2**63 - 1
"""Leaves; what SQL integers and Go's int64 hold."""

Place = tuple[int, int]
"""(level, number) of a complete subtree."""


class NodeSource(Protocol):
    """Returns the hashes of complete subtrees; it is called once for each proof."""

    def __call__(self, places: Sequence[Place], /) -> Sequence[bytes]:
        """Return the 32-byte hashes at these places, in this order."""
        ...


class NodeRun(NamedTuple):
    """Adjacent complete subtrees of one level; the first has the number `start`."""

    level: int
    start: int
    hashes: list[bytes]


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf; the zero byte distinguishes leaves from nodes (against second preimages)."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """Return the hashes of many leaves."""
    return [sha256(b"\x00" + data).digest() for data in leaves]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node over two child hashes of 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


def peak_places(size: int) -> list[Place]:
    """Return the places of the peaks of a tree with `size` leaves, largest first; empty for 0."""
    return _cover(0, size)


def root_hash(size: int, source: NodeSource) -> bytes:
    """Return the root over the first `size` leaves from stored hashes."""
    return _fold(source(peak_places(size))) if size else EMPTY_ROOT


class Accumulator:
    """A tree to which leaves are appended; it holds only the hashes of its peaks.

    Appending n leaves computes at most n + 64 node hashes. Not safe to share between threads.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Continue a tree of `size` leaves; `peaks` are the hashes at `peak_places(size)`, in order."""
        self.size = size
        self._peaks = {
            level: peak for (level, _), peak in zip(peak_places(size), peaks, strict=True)
        }  # by level; a level has a peak if the size has this bit

    def extend(self, hashes: Sequence[bytes]) -> list[NodeRun]:
        """Append leaf hashes; return the inner nodes (level 1 and more) that are now complete."""
        runs: list[NodeRun] = []
        level, start, row = 0, self.size, list(hashes)
        self.size += len(row)
        while row:
            if level:
                runs.append(NodeRun(level, start, row))
            if start & 1:
                row = [self._peaks.pop(level), *row]  # the peak gets its right sibling
            if len(row) & 1:
                self._peaks[level] = row[-1]
            pairs = zip(row[::2], row[1::2], strict=False)  # an odd last one is already a peak
            row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            level, start = level + 1, start >> 1
        return runs

    def append_tree(self, size: int, peaks: Sequence[bytes]) -> list[NodeRun]:
        """Append the leaves of another tree; return the inner nodes above both that are now complete, the lowest first.

        Args:
            size: leaves of the other tree. Its largest complete subtree must have a place at the end of this tree.
            peaks: its peaks.

        Raises:
            ValueError: a subtree has no place there, or the number of peaks is wrong: a fault of the caller.
        """
        runs: list[NodeRun] = []
        for (level, _), digest in zip(peak_places(size), peaks, strict=True):
            number, rest = divmod(self.size, 1 << level)
            if rest:
                raise ValueError(f"a subtree of level {level} cannot begin at leaf {self.size}")
            self.size += 1 << level
            above = digest
            while number & 1:
                above = node_hash(self._peaks.pop(level), above)
                level, number = level + 1, number >> 1  # noqa: PLW2901  # the place of the node above
                runs.append(NodeRun(level, number, [above]))
            self._peaks[level] = above
        return runs

    def peaks(self) -> list[bytes]:
        """Return the hashes of the peaks, largest first."""
        return [self._peaks[level] for level in sorted(self._peaks, reverse=True)]

    def root(self, beyond: Sequence[bytes] = ()) -> bytes:
        """Return the root over all leaves so far, and over those of a tree with the peaks `beyond` after them."""
        hashes = [*self.peaks(), *beyond]
        return _fold(hashes) if hashes else EMPTY_ROOT


def inclusion_proof(number: int, size: int, source: NodeSource) -> list[bytes]:
    """Return the audit path of leaf `number` (from 0) in the tree of the first `size` leaves.

    Returns:
        At most 63 hashes, the leaf's sibling first.

    Raises:
        RequestRefused: `proof-out-of-range`.

    Standard: RFC 9162 section 2.1.3.1.
    """
    if not 0 <= number < size:
        raise RequestRefused("proof-out-of-range", f"there is no leaf {number} in a tree of {size} leaves")
    spans: list[Place] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if number < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return _resolve(spans[::-1], source)


def consistency_proof(old_size: int, size: int, source: NodeSource) -> list[bytes]:
    """Return the proof that the first `size` leaves begin with the first `old_size` leaves.

    Returns:
        At most 64 hashes; none if the sizes are equal or the older tree is empty.

    Raises:
        RequestRefused: `proof-out-of-range`.

    Standard: RFC 9162 section 2.1.4.1.
    """
    if not 0 <= old_size <= size:
        raise RequestRefused(
            "proof-out-of-range", f"a tree of {size} leaves cannot have grown from one of {old_size}"
        )
    spans: list[Place] = []
    start, end = 0, size
    while old_size not in (0, end):
        middle = start + _split(end - start)
        if old_size <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start:  # the verifier knows the old root; another hash must be sent
        spans.append((start, end))
    return _resolve(spans[::-1], source)


def verify_inclusion(leaf: bytes, number: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Return whether a leaf hash is at `number` in the tree of `size` leaves with this root.

    Standard: RFC 9162 section 2.1.3.2; the comments give its steps.
    Not checked: that the root is of a tree of that size; take both from one signed checkpoint.
    """
    if not 0 <= number < size <= MAX_SIZE or not _all_hashes([leaf, root, *proof]):  # 1
        return False
    first, last, result = number, size - 1, leaf  # 2, 3
    for step in proof:  # 4
        if last == 0:
            return False
        if first & 1 or first == last:
            result = node_hash(step, result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            result = node_hash(result, step)
        first, last = first >> 1, last >> 1
    return last == 0 and result == root  # 5


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether the tree of `size` leaves with `root` begins with the tree of `old_size` with `old_root`.

    An empty older tree is consistent with every tree, if its root is the empty root and the proof
    is empty; the RFC does not define this case.

    Standard: RFC 9162 section 2.1.4.2; the comments give its steps.
    Not checked: that the roots are of trees of these sizes; take them from signed checkpoints.
    """
    if not 0 <= old_size <= size <= MAX_SIZE or not _all_hashes([old_root, root, *proof]):
        return False
    if old_size in (0, size):
        return not proof and old_root == (root if old_size else EMPTY_ROOT)
    if not proof:  # 1
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # 2
        path.insert(0, old_root)
    first, last = old_size - 1, size - 1  # 3
    while first & 1:  # 4
        first, last = first >> 1, last >> 1
    old_result = result = path[0]  # 5
    for step in path[1:]:  # 6
        if last == 0:
            return False
        if first & 1 or first == last:
            old_result, result = node_hash(step, old_result), node_hash(step, result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            result = node_hash(result, step)
        first, last = first >> 1, last >> 1
    return last == 0 and old_result == old_root and result == root  # 7


def _all_hashes(values: Sequence[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)


def _split(size: int) -> int:
    """Return the largest power of two below `size` (at least 2): RFC 9162 divides a tree there."""
    return 1 << (size - 1).bit_length() - 1


def _cover(start: int, end: int) -> list[Place]:
    """Return the complete subtrees that cover the leaves [start, end), left to right.

    `start` must be a multiple of the largest power of two that fits, as for every subtree of a tree.
    """
    places: list[Place] = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append((level, start >> level))
        start += 1 << level
    return places


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash over adjacent subtrees, largest first; they are combined from right to left."""
    *rest, result = hashes
    for left in reversed(rest):
        result = node_hash(left, result)
    return result


def _resolve(spans: Sequence[Place], source: NodeSource) -> list[bytes]:
    """Return the hash of each span [start, end) with one call of the source."""
    covers = [_cover(start, end) for start, end in spans]
    hashes = iter(source([place for cover in covers for place in cover]))
    return [_fold([next(hashes) for _ in cover]) for cover in covers]
