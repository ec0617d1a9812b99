"""Header blocks of the peer: HPACK, decoded.

We announce a table of size 0. A peer that does so has no state, and most of its texts are the same in each call: a memo by
their octets finds them. Until the peer has heard of our table size, and if it does use a table of the size that it may
use, the dynamic table is kept as the standard says.
A block is decoded to its end also if it is too long to be kept: otherwise the table would differ from the peer's.
Standard: RFC 7541.

Not here: which fields a request must have (fields).
"""

from __future__ import annotations

from collections import deque

from hpack.table import HeaderTable

from doorward.gateway.authorizer.http2.errors import ConnectionFailed
from doorward.gateway.authorizer.http2.frames import ErrorCode
from doorward.gateway.authorizer.http2.huffman import NotHuffman, decode_huffman

Field = tuple[str, str]

FIRST_TABLE_BYTES = 4096
"""Of the dynamic table, until the peer has acknowledged our settings."""
_ENTRY_BYTES = 32
_LARGEST_INTEGER = 1 << 28
_LARGEST_SHIFT = 28
_INDEXED, _INDEXING, _TABLE_SIZE = 0x80, 0x40, 0x20  # the highest bit that is set says what a field is
_CODED = _MORE = 0x80

_STATIC: tuple[Field, ...] = tuple(
    (name.decode("ascii"), value.decode("ascii")) for name, value in HeaderTable.STATIC_TABLE
)


class TextMemo:
    """Texts by their Huffman-coded octets; of one thread.

    Args:
        most: texts; with one more, all are forgotten.
        longest: octets of a text that is kept, coded.
    """

    def __init__(self, most: int = 4096, longest: int = 512) -> None:
        self._most = most
        self._longest = longest
        self._texts: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def decode(self, coded: bytes) -> str:
        """Return the text; each octet is a character.

        Raises:
            NotHuffman: see `decode_huffman`.
        """
        text = self._texts.get(coded)
        if text is None:
            text = decode_huffman(coded).decode("latin-1")
            if len(coded) <= self._longest:
                if len(self._texts) >= self._most:
                    self._texts.clear()
                self._texts[coded] = text
        return text


class HeaderDecoder:
    """Decodes the blocks of one peer, in the order in which they were sent.

    Args:
        memo: of texts; connections may share it.
        list_bytes: the longest list of fields that is returned, as RFC 9113 section 6.5.2 counts it.
    """

    def __init__(self, memo: TextMemo, list_bytes: int) -> None:
        self._memo = memo
        self._list_bytes = list_bytes
        self._table: deque[Field] = deque()
        self._bytes = 0
        self._most = FIRST_TABLE_BYTES
        self._allowed = FIRST_TABLE_BYTES

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
        at = self._resize(block)
        end = len(block)
        fields: list[Field] = []
        room = self._list_bytes
        while at < end:
            first = block[at]
            if first >= _INDEXED:
                number, at = _integer(block, at, 0x7F)
                field = self._entry(number)
            else:
                kept = first >= _INDEXING
                if not kept and first >= _TABLE_SIZE:
                    raise ConnectionFailed(
                        ErrorCode.COMPRESSION_ERROR, "the table changes its size within a block"
                    )
                number, at = _integer(block, at, 0x3F if kept else 0x0F)
                if number:
                    name = self._entry(number)[0]
                else:
                    name, at = self._text(block, at)
                value, at = self._text(block, at)
                field = name, value
                if kept:
                    self._keep(field)
            room -= len(field[0]) + len(field[1]) + _ENTRY_BYTES
            if room >= 0:
                fields.append(field)
        return fields if room >= 0 else None

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

    def _text(self, block: bytes, at: int) -> tuple[str, int]:
        coded = block[at] >= _CODED
        length, at = _integer(block, at, 0x7F)
        stop = at + length
        if stop > len(block):
            raise IndexError
        data = block[at:stop]
        return (self._memo.decode(data) if coded else data.decode("latin-1")), stop

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
            name, value = self._table.pop()
            self._bytes -= len(name) + len(value) + _ENTRY_BYTES


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
