"""Tiles: how the hashes of the tree are stored, 256 of one level in a row, as C2SP tlog-tiles has them.

Tile (level L, number N) holds the hashes of the complete subtrees at (8·L, 256·N) and after it; the last tile of a level
has fewer than 256. Hashes of the seven levels between two tile levels are computed from the tile below.

Pure. Not here: storing tiles (`storage`), the tree (`merkle`).

Standard: C2SP tlog-tiles, "Merkle Tree".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from doorward.audit.merkle import HASH_BYTES, Place, node_hash
from doorward.core.errors import IntegrityError

TILE_LEVELS = 8
TILE_HASHES = 1 << TILE_LEVELS

TileSource = Callable[[Collection[Place]], Mapping[Place, bytes]]
"""Returns the stored tiles at these places; one that is not there is left out."""


def resolve_nodes(places: Sequence[Place], source: TileSource) -> list[bytes]:
    """Return the hashes of complete subtrees at these places of the tree, in this order; `source` is called once.

    Raises:
        IntegrityError: `node-missing`.
    """
    tiles = source({_tile_of(level, number) for level, number in places})
    found: dict[Place, bytes] = {}
    for level, number in places:
        if (level, number) not in found:
            hashes = _node_from(tiles.get(_tile_of(level, number), b""), level, number)
            if hashes is None:
                raise IntegrityError("node-missing", f"node {number} of level {level} is missing in the log")
            found[level, number] = hashes
    return [found[place] for place in places]


def node_row(level: int, start: int, end: int, source: TileSource) -> Iterator[tuple[int, bytes]]:
    """Yield (number, hash) of the complete subtrees of one level with start <= number < end, one tile after the other."""
    tile_level, above = divmod(level, TILE_LEVELS)
    width = TILE_HASHES >> above
    for tile in range(start // width, -(-end // width)):
        row = _rows(source([(tile_level, tile)]).get((tile_level, tile), b""))[above]
        for number, digest in enumerate(row, start=tile * width):
            if start <= number < end:
                yield number, digest


def extend_tiles(
    tile_level: int, start: int, hashes: Sequence[bytes], last: bytes
) -> Iterator[tuple[int, bytes]]:
    """Yield (number, content) of the tiles that change if hashes are added to a tile level.

    Args:
        tile_level: only for the error.
        start: the number of the first hash in its level of the tree.
        hashes: the hashes to add.
        last: the content of the tile that the first hash belongs to; empty if it begins with it.

    Raises:
        IntegrityError: `node-missing`: the hashes do not continue the tile.
    """
    if len(last) != start % TILE_HASHES * HASH_BYTES:
        raise IntegrityError(
            "node-missing", f"tile {start // TILE_HASHES} of level {tile_level} does not end at {start}"
        )
    content, first = last + b"".join(hashes), start // TILE_HASHES
    size = TILE_HASHES * HASH_BYTES
    for place in range(0, len(content), size):
        yield first + place // size, content[place : place + size]


def _tile_of(level: int, number: int) -> Place:
    tile_level, above = divmod(level, TILE_LEVELS)
    return tile_level, (number << above) // TILE_HASHES


def _node_from(tile: bytes, level: int, number: int) -> bytes | None:
    above = level % TILE_LEVELS
    row, place = _rows(tile)[above], number % (TILE_HASHES >> above)
    return row[place] if place < len(row) else None


@lru_cache(64)
def _rows(tile: bytes) -> list[list[bytes]]:
    """Return the hashes of a tile, and those of the seven levels above it; the levels are asked one after the other."""
    whole = len(tile) - len(tile) % HASH_BYTES
    rows = [[tile[place : place + HASH_BYTES] for place in range(0, whole, HASH_BYTES)]]
    for _ in range(TILE_LEVELS - 1):
        row = rows[-1]
        rows.append([node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=False)])
    return rows
