"""The Merkle tree, compared with the published vectors and with the definition in RFC 9162.

The leaves, roots and proofs are the well-known ones of certificate-transparency-go and its relatives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from doorward.audit.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Accumulator,
    Place,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    peak_places,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from doorward.core.errors import RequestRefused
from tests.support.refusals import refused

LEAVES = [
    bytes.fromhex(text)
    for text in [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
INCLUSION = {
    (0, 8): CONSISTENCY[1, 8],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


class Nodes:
    """The stored hashes of a tree, with a count of the reads."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        hashes = [leaf_hash(leaf) for leaf in leaves]
        self.hashes = {(0, number): digest for number, digest in enumerate(hashes)}
        self.tree = Accumulator()
        for run in self.tree.extend(hashes):
            self.hashes |= {(run.level, run.start + place): digest for place, digest in enumerate(run.hashes)}
        self.calls = 0

    def __call__(self, places: Sequence[Place]) -> list[bytes]:
        """Answer as a `NodeSource`."""
        self.calls += 1
        return [self.hashes[place] for place in places]


def mth(leaves: Sequence[bytes]) -> bytes:
    """Compute the root as RFC 9162 section 2.1.1 defines it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_shared_roots(size: int) -> None:
    """The roots of the shared leaves are the shared roots, by accumulator and from stored nodes."""
    nodes = Nodes(LEAVES)
    assert Nodes(LEAVES[:size]).tree.root().hex() == ROOTS[size]
    assert root_hash(size, nodes).hex() == ROOTS[size]


@pytest.mark.parametrize(("number", "size"), INCLUSION)
def test_the_shared_inclusion_proofs(number: int, size: int) -> None:
    """Inclusion proofs of the shared leaves are the shared proofs, and verify."""
    nodes = Nodes(LEAVES)
    proof = inclusion_proof(number, size, nodes)
    assert [step.hex() for step in proof] == INCLUSION[number, size]
    assert verify_inclusion(leaf_hash(LEAVES[number]), number, size, proof, bytes.fromhex(ROOTS[size]))
    assert nodes.calls == 1


@pytest.mark.parametrize(("old", "size"), CONSISTENCY)
def test_the_shared_consistency_proofs(old: int, size: int) -> None:
    """Consistency proofs of the shared leaves are the shared proofs, and verify."""
    nodes = Nodes(LEAVES)
    proof = consistency_proof(old, size, nodes)
    assert [step.hex() for step in proof] == CONSISTENCY[old, size]
    roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    assert verify_consistency(old, roots[0], size, roots[1], proof)
    assert nodes.calls == 1


def test_every_small_tree() -> None:
    """For all sizes to 33: the RFC's root, every inclusion proof and every consistency proof hold."""
    leaves = [bytes([number]) for number in range(33)]
    nodes = Nodes(leaves)
    roots = [mth(leaves[:size]) for size in range(34)]
    for size in range(34):
        assert root_hash(size, nodes) == roots[size]
        for number in range(size):
            proof = inclusion_proof(number, size, nodes)
            assert verify_inclusion(leaf_hash(leaves[number]), number, size, proof, roots[size])
        for old in range(size + 1):
            proof = consistency_proof(old, size, nodes)
            assert verify_consistency(old, roots[old], size, roots[size], proof)


@pytest.mark.parametrize("batches", [[1] * 21, [21], [2, 3, 5, 7, 4], [16, 5], [0, 20, 0, 1]])
def test_batches_do_not_matter(batches: list[int]) -> None:
    """Batches of any size give the same nodes and the same root."""
    hashes = [leaf_hash(bytes([number])) for number in range(21)]
    tree, found, start = Accumulator(), {}, 0
    for count in batches:
        for run in tree.extend(hashes[start : start + count]):
            found |= {(run.level, run.start + place): digest for place, digest in enumerate(run.hashes)}
        start += count
    assert tree.size == 21
    assert tree.root() == mth([bytes([number]) for number in range(21)])
    assert found == {
        place: digest for place, digest in Nodes([bytes([n]) for n in range(21)]).hashes.items() if place[0]
    }


@pytest.mark.parametrize("size", range(20))
def test_a_tree_is_taken_up_from_its_peaks(size: int) -> None:
    """A tree that continues from stored peaks gives the same root."""
    leaves = [bytes([number]) for number in range(20)]
    nodes = Nodes(leaves)
    tree = Accumulator(size, nodes(peak_places(size)))
    assert tree.root() == mth(leaves[:size])
    tree.extend([leaf_hash(leaf) for leaf in leaves[size:]])
    assert tree.root() == mth(leaves)


def test_the_peaks_of_seven() -> None:
    """Seven leaves are covered by four, two and one, as in the module's picture."""
    assert peak_places(7) == [(2, 0), (1, 2), (0, 6)]
    assert peak_places(0) == []
    with pytest.raises(ValueError, match="argument"):
        Accumulator(7, [bytes(32)])


def test_leaves_and_nodes_are_kept_apart() -> None:
    """A leaf with the bytes of two hashes does not hash to their node."""
    left, right = leaf_hash(b"l"), leaf_hash(b"r")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"") != EMPTY_ROOT


@pytest.mark.parametrize(("number", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_a_leaf_that_is_not_there_has_no_proof(number: int, size: int) -> None:
    """A proof beyond the tree is refused."""
    with refused(RequestRefused, "proof-out-of-range"):
        inclusion_proof(number, size, Nodes(LEAVES))


@pytest.mark.parametrize(("old", "size"), [(6, 5), (-1, 5)])
def test_a_tree_does_not_shrink(old: int, size: int) -> None:
    """A consistency proof from a larger tree is refused."""
    with refused(RequestRefused, "proof-out-of-range"):
        consistency_proof(old, size, Nodes(LEAVES))


def test_wrong_inclusion_is_false() -> None:
    """Another leaf, place, size, root or proof gives False and no exception."""
    nodes = Nodes(LEAVES)
    leaf, root = leaf_hash(LEAVES[5]), bytes.fromhex(ROOTS[8])
    proof = inclusion_proof(5, 8, nodes)
    assert verify_inclusion(leaf, 5, 8, proof, root)
    wrong = [
        (leaf_hash(b"x"), 5, 8, proof, root),
        (leaf, 4, 8, proof, root),
        (leaf, 5, 6, proof, root),
        (leaf, 5, 9, proof, root),
        (leaf, -1, 8, proof, root),
        (leaf, 8, 8, proof, root),
        (leaf, 5, MAX_SIZE + 1, proof, root),
        (leaf, 5, 8, proof[:-1], root),
        (leaf, 5, 8, [*proof, bytes(32)], root),
        (leaf, 5, 8, [], root),
        (leaf, 5, 8, [b"short", *proof[1:]], root),
        (leaf[:-1], 5, 8, proof, root),
        (leaf, 5, 8, proof, bytes(32)),
        (leaf, 5, 8, proof, b""),
        (leaf, 5, 8, ["x" * 32, *proof[1:]], root),
    ]
    for case in wrong:
        assert verify_inclusion(*case) is False  # type: ignore[arg-type]


def test_wrong_consistency_is_false() -> None:
    """Another size, root or proof gives False and no exception."""
    nodes = Nodes(LEAVES)
    old_root, root = bytes.fromhex(ROOTS[6]), bytes.fromhex(ROOTS[8])
    proof = consistency_proof(6, 8, nodes)
    assert verify_consistency(6, old_root, 8, root, proof)
    wrong = [
        (5, old_root, 8, root, proof),
        (6, old_root, 6, root, proof),
        (6, old_root, MAX_SIZE + 1, root, proof),
        (-1, old_root, 8, root, proof),
        (9, old_root, 8, root, proof),
        (6, bytes(32), 8, root, proof),
        (6, old_root, 8, bytes(32), proof),
        (6, old_root, 8, root, proof[:-1]),
        (6, old_root, 8, root, []),
        (6, old_root, 8, root, [*proof, bytes(32)]),
        (6, old_root, 8, root, [b"", *proof[1:]]),
        (6, b"", 8, root, proof),
        (8, root, 8, root, proof),
        (8, old_root, 8, root, []),
        (0, EMPTY_ROOT, 8, root, proof),
        (0, old_root, 8, root, []),
    ]
    for case in wrong:
        assert verify_consistency(*case) is False


@pytest.mark.parametrize("size", range(24))
def test_a_tree_is_joined_from_trees_of_its_parts(size: int) -> None:
    """The roots and the nodes above the parts are those of one tree, also at each place within the last part."""
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    whole, joined = Accumulator(), Accumulator()
    expected = whole.extend(hashes)
    above: set[tuple[int, int, bytes]] = set()
    for start in range(0, size, 4):
        part = Accumulator()
        for number in range(start, min(start + 4, size)):
            part.extend([hashes[number]])
            before = Accumulator()
            before.extend(hashes[: number + 1])
            assert joined.root(part.peaks()) == before.root()
        for run in joined.append_tree(part.size, part.peaks()):
            above.add((run.level, run.start, *run.hashes))  # type: ignore[arg-type]
    assert (joined.size, joined.root(), joined.peaks()) == (whole.size, whole.root(), whole.peaks())
    assert above == {
        (run.level, number, digest)
        for run in expected
        if run.level > 2
        for number, digest in enumerate(run.hashes, start=run.start)
    }


def test_a_tree_without_a_place_at_the_end_is_not_joined() -> None:
    """A subtree begins at a multiple of its own size."""
    tree = Accumulator()
    tree.extend([bytes(32)])
    with pytest.raises(ValueError, match="a subtree of level 1 cannot begin at leaf 1"):
        tree.append_tree(2, [bytes(32)])
