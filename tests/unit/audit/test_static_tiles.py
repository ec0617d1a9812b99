"""The files of the static log: their names, their content, and a tree that is continued from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.merkle import EMPTY_ROOT, Accumulator, leaf_hash
from doorward.audit.static_tiles import StaticTree, TileName, completed_by, render_entries
from doorward.core.errors import IntegrityError
from tests.support.refusals import refused

Files = dict[str, bytes]


def _leaves(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def _grow(tree: StaticTree, leaves: list[bytes]) -> Files:
    files = {}
    for start in range(0, len(leaves), 256):
        files.update({file.name.path: file.content for file in tree.add(leaves[start : start + 256])})
    return files | {file.name.path: file.content for file in tree.partial_tiles()}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (TileName("0", 0), "tile/0/000"),
        (TileName("63", 999), "tile/63/999"),
        (TileName("1", 1000), "tile/1/x001/000"),
        (TileName("0", 1_234_067), "tile/0/x001/x234/067"),
        (TileName("entries", 1234, 7), "tile/entries/x001/234.p/7"),
    ],
)
def test_the_paths_of_the_standard(name: TileName, path: str) -> None:
    """Three digits for each folder, an x before all but the last, and the width of a partial tile."""
    assert name.path == path


def test_the_tiles_of_the_standards_example() -> None:
    """A tree of 70,000 leaves has the tiles that tlog-tiles counts, each at its size, and the root of the tree."""
    leaves = _leaves(70_000)
    tree = StaticTree()
    files = _grow(tree, leaves)
    widths = {path: len(content) // 32 for path, content in files.items() if "entries" not in path}
    partial = {path: width for path, width in widths.items() if ".p/" in path}
    assert partial == {"tile/0/273.p/112": 112, "tile/1/001.p/17": 17, "tile/2/000.p/1": 1}
    assert sorted(widths.keys() - partial.keys()) == [*(f"tile/0/{n:03d}" for n in range(273)), "tile/1/000"]
    assert {widths[path] for path in widths.keys() - partial.keys()} == {256}
    assert sum("entries" in path for path in files) == 274
    known = Accumulator()
    known.extend([leaf_hash(leaf) for leaf in leaves])
    assert tree.root() == known.root()
    again = StaticTree(257, lambda name: files[name.path])
    rest = _grow(again, leaves[257 * 256 :])
    assert rest.items() <= files.items()
    assert again.root() == known.root()


@given(st.integers(0, 2000), st.integers(0, 7))
def test_a_continued_tree_gives_the_same_files(size: int, kept: int) -> None:
    """From its complete tiles a tree grows to the same files and root, and to no file that was there."""
    leaves = _leaves(size)
    kept = min(kept, size // 256)
    whole = StaticTree()
    files = _grow(whole, leaves)
    continued = StaticTree(kept, lambda name: files[name.path])
    rest = _grow(continued, leaves[kept * 256 :])
    there = {name.path for number in range(kept) for name in completed_by(number)}
    assert rest == {path: content for path, content in files.items() if path not in there}
    known = Accumulator()
    known.extend([leaf_hash(leaf) for leaf in leaves])
    assert whole.root() == continued.root() == (known.root() if size else EMPTY_ROOT)


def test_what_a_tile_completes() -> None:
    """The last tile below a tile of the next level completes that one too."""
    assert [name.path for name in completed_by(254)] == ["tile/entries/254", "tile/0/254"]
    assert [name.path for name in completed_by(255)] == ["tile/entries/255", "tile/0/255", "tile/1/000"]
    assert completed_by(65_535)[2:] == [TileName("1", 255), TileName("2", 0)]


def test_an_entry_has_at_most_65535_bytes() -> None:
    """The length is before each leaf; a leaf that its 16 bits cannot measure is refused."""
    assert render_entries([b"", b"ab", bytes(65_535)]) == b"\x00\x00\x00\x02ab\xff\xff" + bytes(65_535)
    with refused(IntegrityError, "entry-too-large"):
        render_entries([bytes(65_536)])


def test_the_places_of_a_tile() -> None:
    """A tile's hashes have places in the tree, and a bundle has none."""
    assert TileName("1", 2, 3).places == [(8, 512), (8, 513), (8, 514)]
    assert TileName("entries", 2).places == []
