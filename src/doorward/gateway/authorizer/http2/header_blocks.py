"""Header blocks of the peer: HPACK, decoded.

We announce a table of size 0. A peer that does so has no state, and most of its fields are the same in each call: a memo by
their octets finds them. A field is its own end, so octets that are one field are that field wherever they stand. For the same reason
the fields with which each block of a peer begins are remembered together, up to the first one that was new. Until the
peer has heard of our table size, the dynamic table is kept as the standard says.
A block is decoded to its end also if it is too long to be kept: otherwise the table would differ from the peer's.
Standard: RFC 7541.

Not here: which fields a request must have (fields).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from hpack.table import HeaderTable

from doorward.gateway.authorizer.http2.errors import ConnectionFailed
from doorward.gateway.authorizer.http2.fields import Field, make_field
from doorward.gateway.authorizer.http2.frames import ErrorCode
from doorward.gateway.authorizer.http2.huffman import NotHuffman, decode_huffman

FIRST_TABLE_BYTES = 4096
"""Of the dynamic table, until the peer has acknowledged our settings."""
_ENTRY_BYTES = 32
_LARGEST_INTEGER = 1 << 28
_LARGEST_SHIFT = 28
_INDEXED, _INDEXING, _TABLE_SIZE = 0x80, 0x40, 0x20  # the highest bit that is set says what a field is
_LONG_NAME, _LONG_INDEXING = 0x0F, 0x3F  # a name's number; with all bits set it goes on in the next octet
_LONG_NAMES = frozenset({_LONG_NAME, 0x1F, _INDEXING | _LONG_INDEXING})
"""First octets of fields with such a number; a known one ends in the next octet, as that of `content-type` does."""
_CODED = _MORE = 0x80
_LENGTH = 0x7F

_STATIC: tuple[Field, ...] = tuple(
    make_field(name.decode("ascii"), value.decode("ascii")) for name, value in HeaderTable.STATIC_TABLE
)


class FieldMemo:
    """Fields by their octets, and names by theirs; of one thread.

    Args:
        most: fields; with one more, all are forgotten.
        longest: octets of a field that is kept.
        changing: names of fields with another value in each call, which are not kept.
    """

    def __init__(
        self, most: int = 4096, longest: int = 512, *, changing: Collection[str] = frozenset()
    ) -> None:
        self.fields: dict[bytes, Field] = {}
        self._changing = changing
        self._most = most
        self._longest = longest
        self._names: dict[bytes, str] = {}

    def keep(self, octets: bytes, field: Field) -> None:
        """Keep a field; its name must stand in the octets, or in the static table."""
        if len(octets) <= self._longest and field[0] not in self._changing:
            if len(self.fields) >= self._most:
                self.fields.clear()
            self.fields[octets] = field

    def name(self, coded: bytes) -> str:
        """Return the name that Huffman-coded octets are.

        Raises:
            NotHuffman: see `decode_huffman`.
        """
        name = self._names.get(coded)
        if name is None:
            name = decode_huffman(coded).decode("latin-1")
            if len(coded) <= self._longest:
                if len(self._names) >= self._most:
                    self._names.clear()
                self._names[coded] = name
        return name


class _Begin(NamedTuple):
    """Octets with which blocks begin, their fields, and the size of these as RFC 9113 section 6.5.2 counts it."""

    octets: bytes
    fields: list[Field]
    size: int


class HeaderDecoder:
    """Decodes the blocks of one peer, in the order in which they were sent.

    Args:
        memo: of texts; connections may share it.
        list_bytes: the longest list of fields that is returned, as RFC 9113 section 6.5.2 counts it.
    """

    def __init__(self, memo: FieldMemo, list_bytes: int) -> None:
        self._memo = memo
        self._list_bytes = list_bytes
        self._table: deque[Field] = deque()
        self._bytes = 0
        self._most = FIRST_TABLE_BYTES
        self._allowed = FIRST_TABLE_BYTES
        self._begin = _Begin(b"", [], 0)

    def forbid_table(self) -> None:
        """The peer has acknowledged our settings: its next block must give up the table, if it has one."""
        self._allowed = 0

    def decode(self, block: bytes) -> list[Field] | None:
        """Return the fields in order; None if the list is too long.

        Raises:
            ConnectionFailed: COMPRESSION_ERROR.
        """
        try:
            return self._decode(block)
        except (IndexError, NotHuffman):  # the block ends within a field, or names an entry that is not there
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "a header block cannot be decoded") from None

    def _decode(self, block: bytes) -> list[Field] | None:
        begin = self._begin
        if begin.octets and not self._most and block.startswith(begin.octets):
            start, at = 0, len(begin.octets)
            known_to = at
            fields, room = begin.fields.copy(), self._list_bytes - begin.size
        else:
            start = at = self._resize(block)
            known_to = 0
            fields, room = [], self._list_bytes
        end = len(block)
        new_at = 0
        known = self._memo.fields.get
        while at < end:
            first = block[at]
            if first >= _INDEXED:
                number, at = _integer(block, at, _LENGTH)
                field = self._entry(number)
            else:
                # Where the field ends if its lengths are short, which all known fields have.
                value_at = at + 1
                if first in {0, _INDEXING}:
                    value_at += 1 + (block[value_at] & _LENGTH)
                elif first in _LONG_NAMES:
                    value_at += 1
                stop = value_at + 1 + (block[value_at] & _LENGTH) if value_at < end else end
                found = known(block[at:stop])
                if found is None:
                    if not new_at and at > known_to and not start and not self._most and room >= 0:
                        self._begin = _Begin(block[:at], fields.copy(), self._list_bytes - room)
                    new_at = new_at or at
                    field, at = self._literal(block, at)
                else:
                    field, at = found, stop
                if first >= _INDEXING and self._most:
                    self._keep(field)
            room -= len(field[0]) + len(field[1]) + _ENTRY_BYTES
            if room >= 0:
                fields.append(field)
        return fields if room >= 0 else None

    def _literal(self, block: bytes, begin: int) -> tuple[Field, int]:
        """Return a field that stands in the block, and the place behind it."""
        first = block[begin]
        if _TABLE_SIZE <= first < _INDEXING:
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "the table changes its size within a block")
        number, at = _integer(block, begin, _LONG_INDEXING if first >= _INDEXING else _LONG_NAME)
        if number:
            name = self._entry(number)[0]
        else:
            coded, octets, at = _text(block, at)
            name = self._memo.name(octets) if coded else octets.decode("latin-1")
        coded, octets, at = _text(block, at)
        field = make_field(name, (decode_huffman(octets) if coded else octets).decode("latin-1"))
        if number <= len(_STATIC):
            self._memo.keep(block[begin:at], field)
        return field, at

    def _resize(self, block: bytes) -> int:
        """Change the table's size as the block begins by saying; return where its fields begin."""
        at = 0
        while at < len(block) and _TABLE_SIZE <= block[at] < _INDEXING:
            size, at = _integer(block, at, 0x1F)
            if size > self._allowed:
                raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "the table is larger than allowed")
            self._most = size
            self._evict(0)
        if self._most > self._allowed:
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "the table was not given up")
        return at

    def _entry(self, number: int) -> Field:
        if not number:
            raise IndexError
        return _STATIC[number - 1] if number <= len(_STATIC) else self._table[number - len(_STATIC) - 1]

    def _keep(self, field: Field) -> None:
        size = len(field[0]) + len(field[1]) + _ENTRY_BYTES
        self._evict(size)
        if size <= self._most:
            self._table.appendleft(field)
            self._bytes += size

    def _evict(self, needed: int) -> None:
        while self._table and self._bytes + needed > self._most:
            name, value, _ = self._table.pop()
            self._bytes -= len(name) + len(value) + _ENTRY_BYTES


def _text(block: bytes, at: int) -> tuple[bool, bytes, int]:
    """Return whether a text is Huffman-coded, its octets, and the place behind it (RFC 7541 section 5.2)."""
    coded = block[at] >= _CODED
    length, at = _integer(block, at, _LENGTH)
    stop = at + length
    if stop > len(block):
        raise IndexError
    return coded, block[at:stop], stop


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Return an integer and the place behind it (RFC 7541 section 5.1)."""
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    shift = 0
    while True:
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if number > _LARGEST_INTEGER or shift > _LARGEST_SHIFT:
            raise IndexError
        if octet < _MORE:
            return number, at
        shift += 7
