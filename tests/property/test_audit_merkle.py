"""Merkle proofs of trees of any size hold, and only they do."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.audit.merkle import (
    Accumulator,
    Place,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)

TOP = 1500
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(TOP)]
HASHES = {(0, number): digest for number, digest in enumerate(LEAVES)}
for _run in Accumulator().extend(LEAVES):
    HASHES |= {(_run.level, _run.start + _place): _hash for _place, _hash in enumerate(_run.hashes)}
sizes = st.integers(1, TOP)
digests = st.binary(min_size=32, max_size=32)


def nodes(places: Sequence[Place]) -> list[bytes]:
    """The stored hashes of the tree."""
    return [HASHES[place] for place in places]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_batches_do_not_matter(batches: list[int]) -> None:
    """Any batches give the root of the whole."""
    tree = Accumulator()
    for count in batches:
        tree.extend(LEAVES[tree.size : tree.size + count])
    assert tree.root() == root_hash(sum(batches), nodes)


@settings(deadline=None)
@given(sizes, st.data())
def test_inclusion_holds_for_this_leaf_only(size: int, data: st.DataObject) -> None:
    """The proof of a leaf verifies; with another number, leaf, root, or step it does not."""
    number = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(number, size, nodes), root_hash(size, nodes)
    assert len(proof) <= size.bit_length()
    assert verify_inclusion(LEAVES[number], number, size, proof, root)
    assert verify_inclusion(LEAVES[other], number, size, proof, root) == (number == other)
    assert verify_inclusion(LEAVES[number], other, size, proof, root) == (number == other)
    assert not verify_inclusion(LEAVES[number], number, size, proof, data.draw(digests))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], data.draw(digests), *proof[place + 1 :]]
        assert not verify_inclusion(LEAVES[number], number, size, changed, root)


@settings(deadline=None)
@given(sizes, sizes, st.data())
def test_consistency_holds_for_these_trees_only(first: int, second: int, data: st.DataObject) -> None:
    """The proof between two trees verifies; with another root or step it does not."""
    old, size = sorted((first, second))
    roots = root_hash(old, nodes), root_hash(size, nodes)
    proof = consistency_proof(old, size, nodes)
    assert len(proof) <= size.bit_length() + 1
    assert verify_consistency(old, roots[0], size, roots[1], proof)
    assert not verify_consistency(old, data.draw(digests), size, roots[1], proof)
    assert not verify_consistency(old, roots[0], size, data.draw(digests), proof)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], data.draw(digests), *proof[place + 1 :]]
        assert not verify_consistency(old, roots[0], size, roots[1], changed)


anything = st.one_of(digests, st.binary(max_size=40), st.none(), st.integers(), st.text(max_size=3))
numbers = st.one_of(st.integers(-3, 40), st.integers())


@given(anything, numbers, numbers, st.lists(anything, max_size=70), anything)
def test_any_inclusion_is_judged(
    leaf: object, number: int, size: int, proof: list[object], root: object
) -> None:
    """Any input gives a bool."""
    assert verify_inclusion(leaf, number, size, proof, root) in (True, False)  # type: ignore[arg-type]


@given(numbers, anything, numbers, anything, st.lists(anything, max_size=70))
def test_any_consistency_is_judged(
    old_size: int, old_root: object, size: int, root: object, proof: list[object]
) -> None:
    """Any input gives a bool."""
    assert verify_consistency(old_size, old_root, size, root, proof) in (True, False)  # type: ignore[arg-type]
