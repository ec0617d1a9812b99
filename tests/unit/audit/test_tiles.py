"""Hashes of the tree in tiles of 256."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.merkle import Accumulator, leaf_hash
from doorward.audit.tiles import extend_tiles, node_row, resolve_nodes
from doorward.core.errors import IntegrityError
from tests.support.refusals import refused


class Tiles:
    """Tiles in memory, extended in batches as the sequencer does."""

    def __init__(self, *batches: int) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        self.nodes: dict[tuple[int, int], bytes] = {}
        tree, size = Accumulator(), 0
        for count in batches:
            hashes = [leaf_hash(str(number).encode()) for number in range(size, size + count)]
            self._add(0, size, hashes)
            for run in tree.extend(hashes):
                self.nodes.update(
                    {(run.level, run.start + place): one for place, one in enumerate(run.hashes)}
                )
                if run.level % 8 == 0:
                    self._add(run.level // 8, run.start, run.hashes)
            size += count

    def _add(self, level: int, start: int, hashes: list[bytes]) -> None:
        self.nodes.update({(8 * level, start + place): one for place, one in enumerate(hashes)})
        last = self.kept.get((level, start // 256), b"")
        for number, content in extend_tiles(level, start, hashes, last):
            self.kept[level, number] = content

    def source(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return {place: self.kept[place] for place in places if place in self.kept}


@given(st.lists(st.integers(1, 600), min_size=1, max_size=4))
def test_every_complete_subtree_is_found(batches: list[int]) -> None:
    """Whatever the batches were, each hash of the tree is in the tiles or follows from one."""
    tiles = Tiles(*batches)
    places = [*sorted(tiles.nodes), (0, 0)]  # asking twice is allowed
    assert resolve_nodes(places, tiles.source) == [tiles.nodes[place] for place in places]
    for level in {level for level, _ in places}:
        row = sorted((number, one) for (of, number), one in tiles.nodes.items() if of == level)
        assert list(node_row(level, 0, len(row) + 5, tiles.source)) == row
        assert list(node_row(level, 1, 3, tiles.source)) == row[1:3]


def test_tiles_have_the_form_of_tlog_tiles() -> None:
    """A full tile has 256 hashes of 32 bytes, the last one fewer; level 1 has one hash for each full tile below."""
    tiles = Tiles(100, 413)
    assert {place: len(content) for place, content in tiles.kept.items()} == {
        (0, 0): 8192,
        (0, 1): 8192,
        (0, 2): 32,
        (1, 0): 64,
    }
    assert tiles.kept[1, 0][:32] == tiles.nodes[8, 0]


@pytest.mark.parametrize("place", [(0, 5), (1, 2), (3, 0), (8, 0), (0, 256)])
def test_a_hash_that_is_not_there_is_missing(place: tuple[int, int]) -> None:
    """An incomplete subtree, or one without a tile, is an error and never a wrong hash."""
    with refused(IntegrityError, "node-missing"):
        resolve_nodes([(0, 0), place], Tiles(5).source)


def test_a_tile_that_was_cut_has_no_half_hash() -> None:
    """If bytes of a tile are missing, its whole hashes are used and the rest is missing."""
    tiles = Tiles(5)
    tiles.kept[0, 0] = tiles.kept[0, 0][:-1]
    assert len(list(node_row(0, 0, 9, tiles.source))) == 4
    with refused(IntegrityError, "node-missing"):
        resolve_nodes([(0, 4)], tiles.source)


def test_hashes_that_do_not_continue_the_last_tile_are_refused() -> None:
    """A tile that was cut or lost is not filled up: later hashes would get wrong numbers."""
    with refused(IntegrityError, "node-missing"):
        list(extend_tiles(0, 3, [bytes(32)], bytes(64)))
