"""The log as static files: hash tiles and bundles of leaves, in the layout of C2SP tlog-tiles.

    checkpoint                     the signed note
    tile/<L>/<N>[.p/<W>]           the hashes of tile N of tile level L (`tiles`)
    tile/entries/<N>[.p/<W>]       the leaves below tile N of level 0: each after its length, 16 bits, big-endian

N is written with three digits for each folder, and an x before all but the last: 1234067 is x001/x234/067. The last tile
of a level is partial if it has fewer than 256 hashes; W says how many.

Pure. Not here: writing the files (`runtime.tile_export`), how the log stores its hashes (`tiles`).

Standard: C2SP tlog-tiles, "Merkle Tree" and "Log entries".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from doorward.audit.merkle import EMPTY_ROOT, HASH_BYTES, Accumulator, Place, leaf_hash
from doorward.audit.tiles import TILE_HASHES, TILE_LEVELS
from doorward.core.errors import IntegrityError

ENTRIES = "entries"
MAX_ENTRY_BYTES = 65_535
"""What the 16 bits of the length can say."""


class TileName(NamedTuple):
    """Names one file: `folder` is `entries` or the tile level in decimal, `width` the hashes or leaves in the file."""

    folder: str
    number: int
    width: int = TILE_HASHES

    @property
    def path(self) -> str:
        """The path below the folder of the export, with slashes."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
        whole = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        return f"tile/{self.folder}/{whole}" + ("" if self.width == TILE_HASHES else f".p/{self.width}")

    @property
    def places(self) -> list[Place]:
        """The places in the tree of the hashes of this tile; none for a bundle of leaves."""
        if self.folder == ENTRIES:
            return []
        level, first = TILE_LEVELS * int(self.folder), TILE_HASHES * self.number
        return [(level, first + place) for place in range(self.width)]


class TileFile(NamedTuple):
    """One file with its content."""

    name: TileName
    content: bytes


class StaticTree:
    """A tree that grows by whole tiles, and gives the files that each one completes. It holds one tile of each level."""

    def __init__(self, tiles: int = 0, read: Callable[[TileName], bytes] | None = None) -> None:
        """Begin a tree, or continue one from its files.

        Args:
            tiles: how many tiles of level 0 are complete already.
            read: returns the content of a complete hash tile; it is called for at most 255 tiles of each level.
        """
        self._size = tiles * TILE_HASHES
        self._rows: list[list[bytes]] = [[]]  # by tile level: the hashes of the tile that is not complete
        while tiles and read is not None:
            level, first = len(self._rows) - 1, tiles - tiles % TILE_HASHES
            names = [TileName(str(level), number) for number in range(first, tiles)]
            self._rows.append([_head(split_hashes(read(name))) for name in names])
            tiles //= TILE_HASHES

    def add(self, leaves: Sequence[bytes]) -> Iterator[TileFile]:
        """Yield the files that the leaves of the next tile complete: the bundle, and the hash tiles from level 0 on.

        Args:
            leaves: 256 of them; fewer only once, at the end. Then the bundle is partial.

        Raises:
            IntegrityError: `entry-too-large`.
        """
        yield TileFile(TileName(ENTRIES, self._size // TILE_HASHES, len(leaves)), render_entries(leaves))
        self._size += len(leaves)
        added, level = [leaf_hash(leaf) for leaf in leaves], 0
        while True:
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row += added
            if len(row) < TILE_HASHES:
                return
            number = (self._size >> TILE_LEVELS * (level + 1)) - 1
            yield TileFile(TileName(str(level), number), b"".join(row))
            added, level = [_head(row)], level + 1
            row.clear()

    def partial_tiles(self) -> Iterator[TileFile]:
        """Yield the hash tiles that are not complete; a tile without hashes does not exist."""
        for level, row in enumerate(self._rows):
            if row:
                number = self._size >> TILE_LEVELS * (level + 1)
                yield TileFile(TileName(str(level), number, len(row)), b"".join(row))

    def root(self) -> bytes:
        """Return the root over all leaves (RFC 9162 section 2.1.1).

        The part of the tree that is no complete tile yet is the last child of the level above.
        """
        rest: list[bytes] = []
        for row in self._rows:
            if row or rest:
                rest = [_head([*row, *rest])]
        return rest[0] if rest else EMPTY_ROOT


def completed_by(number: int) -> list[TileName]:
    """Return the complete files that tile `number` of level 0 completes: its bundle, itself, and tiles above it."""
    names, level = [TileName(ENTRIES, number)], 0
    while True:
        names.append(TileName(str(level), number))
        if (number + 1) % TILE_HASHES:
            return names
        number, level = number // TILE_HASHES, level + 1


def render_entries(leaves: Sequence[bytes]) -> bytes:
    """Return the bundle of these leaves.

    Raises:
        IntegrityError: `entry-too-large`: a leaf is longer than 65,535 bytes. No event within its limits is.
    """
    for leaf in leaves:
        if len(leaf) > MAX_ENTRY_BYTES:
            raise IntegrityError(
                "entry-too-large",
                f"a leaf has {len(leaf)} bytes, and an entry of a tile can have {MAX_ENTRY_BYTES}: {leaf[:80]!r}",
                hint="use `doorward audit export --out`, which has no such limit",
            )
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def split_hashes(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [tile[place : place + HASH_BYTES] for place in range(0, len(tile), HASH_BYTES)]


def _head(hashes: Sequence[bytes]) -> bytes:
    tree = Accumulator()
    tree.extend(hashes)
    return tree.root()
