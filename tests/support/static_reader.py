"""A reader of static tiles that has nothing of ours: written from C2SP tlog-tiles, signed-note and RFC 6962 alone."""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class StaticReader:
    """The files of a static log below a folder, read with the log's verifier key."""

    def __init__(self, folder: Path, key: str) -> None:
        """Read the checkpoint and verify its signature."""
        name, key_id, encoded = key.split("+", 2)
        text, _, signatures = (folder / "checkpoint").read_text(encoding="utf-8").rpartition("\n\n")
        text += "\n"
        dash, signer, value = signatures.strip("\n").split(" ")
        signature = base64.b64decode(value)
        assert (dash, signer, signature[:4].hex()) == ("\u2014", name, key_id)
        public = base64.b64decode(encoded)
        assert public[0] == 1
        Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], text.encode())
        origin, size, root = text.splitlines()
        assert origin == name
        self.folder, self.size, self.root = folder, int(size), base64.b64decode(root)

    def leaves(self) -> list[bytes]:
        """Return all leaves, from the bundles."""
        found = []
        for number in range(-(-self.size // 256)):
            width = min(256, self.size - 256 * number)
            data = self._file("entries", number, width)
            for _ in range(width):
                length = int.from_bytes(data[:2], "big")
                found.append(data[2 : 2 + length])
                assert len(found[-1]) == length
                data = data[2 + length :]
        return found

    def tile(self, level: int, number: int) -> list[bytes]:
        """Return the hashes of a tile that a tree of this size has."""
        width = min(256, (self.size >> 8 * level) - 256 * number)
        data = self._file(str(level), number, width)
        assert len(data) >= 32 * width
        return [data[place : place + 32] for place in range(0, 32 * width, 32)]

    def levels(self) -> list[list[bytes]]:
        """Return the hashes of each tile level."""
        rows, level = [], 0
        while count := self.size >> 8 * level:
            rows.append([one for number in range(-(-count // 256)) for one in self.tile(level, number)])
            level += 1
        return rows

    def proof(self, number: int) -> list[bytes]:
        """Return the audit path of a leaf (RFC 6962 section 2.1.1), from the tiles alone."""
        return self._path(number, 0, self.size)

    def check(self) -> None:
        """Everything that the folder holds agrees with the signed root."""
        hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in self.leaves()]
        assert len(hashes) == self.size
        assert head(hashes) == self.root
        rows = self.levels()
        assert rows[0] == hashes
        for below, row in pairwise(rows):
            assert row == [head(below[place : place + 256]) for place in range(0, 256 * len(row), 256)]

    def _path(self, number: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if number < middle:
            return [*self._path(number, start, middle), self._subtree(middle, end)]
        return [*self._path(number, middle, end), self._subtree(start, middle)]

    def _subtree(self, start: int, end: int) -> bytes:
        for level in range(7, -1, -1):
            if end - start == 256**level and start % 256**level == 0:
                place = start >> 8 * level
                return self.tile(level, place // 256)[place % 256]
        middle = start + split(end - start)
        return node(self._subtree(start, middle), self._subtree(middle, end))

    def _file(self, folder: str, number: int, width: int) -> bytes:
        text = str(number).zfill(-(-len(str(number)) // 3) * 3)
        groups = [text[place : place + 3] for place in range(0, len(text), 3)]
        path = "/".join(["x" + one for one in groups[:-1]] + [groups[-1]])
        whole = self.folder / f"tile/{folder}/{path}"
        partial = whole.with_name(f"{whole.name}.p") / str(width)
        # A partial tile may be removed when the complete one is there, which begins with the same bytes.
        return (partial if width < 256 and not whole.exists() else whole).read_bytes()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def head(hashes: list[bytes]) -> bytes:
    """The hash of a tree over leaf hashes (RFC 6962 section 2.1)."""
    if len(hashes) == 1:
        return hashes[0]
    middle = split(len(hashes))
    return node(head(hashes[:middle]), head(hashes[middle:]))


def split(size: int) -> int:
    """The largest power of two below `size`."""
    power = 1
    while 2 * power < size:
        power *= 2
    return power
