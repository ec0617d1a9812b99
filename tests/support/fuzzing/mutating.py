"""Inputs made from other inputs: broken as a hostile peer would break them.

DER is taken apart into its values, also inside OCTET and BIT STRINGs (extensions, keys), and put together
again with right lengths, so that a change deep inside reaches the code that reads it; text is cut at what
its grammar is made of. In both, some changes are of plain bytes, lengths that lie among them.
All choices come from one `random.Random`: the same seed gives the same inputs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from enum import Enum

LARGEST = 160 * 1024
"""Bytes of an input: more than every limit but those of files and lists of revoked certificates."""
_DEPTH = 40
_NESTED = frozenset({0x03, 0x04})
_CONSTRUCTED = 0x20

_CONTENTS = (
    b"",
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f" * 20,
    b"\xff" * 21,
    b"\x00" * 16 + b"\x01",
    b"\x80" * 64,
    b"\xff" * 4096,
    b"%" * 300,
    b"0" * 5000,
    b"20261123120000Z",
    b"99991231235959Z",
    b"00000101000000Z",
    b"490101000000Z",
    b"\xc3\x28",
    b"\xd8\x00\xdc\x00",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
    b"spiffe://corp.example/person/alice",
    b"*.example.com",
    b"\n\r\t",
)
_TAGS = bytes(
    (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1C, 0x1E, 0x30, 0x31)
) + bytes((0x80, 0x81, 0x82, 0x86, 0x87, 0xA0, 0xA1, 0xA3, 0xA4, 0x1F))
_LENGTHS = (b"\x80", b"\x84\xff\xff\xff\xff", b"\x88" + b"\xff" * 8, b"\x81\x05", b"\xff", b"\x82\x00\x05")
_TOKENS = (
    *(b"{ } [ ] : , \" ' \\ / # & * ! | > % @ ` = ; + - . _ ~ ? < >".split()),
    *(b"null true false NaN Infinity -0 1e999 0x10 1_000 99999999999999999999999 -1".split()),
    *(b"\\u0000 \\ud800 %00 %2F %2e %C0%AF %ED%A0%80 .. // ..;/ // \xff \xc0\x80 \xed\xa0\x80".split()),
    *(b"\0 \x1b[2J \r \r\n \n \n\n \t".split(b" ")),
    "\u202e".encode(),
    "\u2028".encode(),
    "\U0001f600".encode(),
    b" ",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"9" * 5000,
    b"A" * 70_000,
    b"a," * 3000,
    b"&a [*a,*a]",
    b"0" * 400 + b"1",
)
_WORD = re.compile(rb"[A-Za-z0-9_\-]+|\s+|.", re.DOTALL)


class Shape(Enum):
    """What inputs of a parser look like."""

    DER = "der"
    TEXT = "text"
    OCTETS = "octets"


class _Value:
    """One DER value: its tag octet, octets before what is nested (a BIT STRING's first), and its content."""

    def __init__(
        self, tag: int, content: bytes, values: list[_Value] | None = None, before: bytes = b""
    ) -> None:
        self.tag, self.content, self.values, self.before = tag, content, values, before

    def encode(self) -> bytes:
        body = self.content
        if self.values is not None:
            body = self.before + b"".join(one.encode() for one in self.values)
        return bytes((self.tag,)) + encode_length(len(body)) + body

    def everything(self) -> list[_Value]:
        """This value and all below it."""
        found = [self]
        for one in self.values or ():
            found += one.everything()
        return found


def encode_length(size: int) -> bytes:
    """Return the DER length octets."""
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


def mutate(data: bytes, corpus: Sequence[bytes], shape: Shape, source: random.Random) -> bytes:
    """Return another input made of `data` by one to four changes, and sometimes of a second one."""
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 4))):
        if shape is Shape.DER and source.random() < 0.8:
            data = _mutate_der(data, corpus, source)
        elif shape is Shape.TEXT and source.random() < 0.8:
            data = _mutate_text(data, corpus, source)
        else:
            data = source.choice(_PLAIN)(data, corpus, source)
    return data[:LARGEST]


def _mutate_der(data: bytes, corpus: Sequence[bytes], source: random.Random) -> bytes:
    values = _parse(data, 0)
    if not values:
        return source.choice(_PLAIN)(data, corpus, source)
    place = source.choice([one for value in values for one in value.everything()])
    source.choice(_CHANGES)(place, corpus, source)
    try:
        return b"".join(value.encode() for value in values)[:LARGEST]
    except RecursionError:  # a value that was put into itself
        return data


def _fill(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    place.content, place.values = source.choice(_CONTENTS), None


def _rename(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    place.tag = source.choice(_TAGS) if source.random() < 0.7 else source.randrange(256)


def _remove(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    if place.values:
        del place.values[source.randrange(len(place.values))]


def _multiply(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    if place.values:
        one = source.choice(place.values)
        times = source.choice((1, 1, 2, 9, 65, 300, 3000))
        place.values.extend([one] * min(times, LARGEST // (len(one.encode()) + 1)))


def _reorder(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    source.shuffle(place.values or [])


def _replace(place: _Value, corpus: Sequence[bytes], source: random.Random) -> None:
    other = _parse(source.choice(corpus), 0)
    if other:
        taken = source.choice([one for value in other for one in value.everything()])
        place.tag, place.content, place.values, place.before = (
            taken.tag,
            taken.content,
            taken.values,
            taken.before,
        )


def _nest(place: _Value, _: Sequence[bytes], source: random.Random) -> None:
    inner = place.encode()
    for _depth in range(source.choice((1, 2, 10, 100, 1000))):
        inner = b"\x30" + encode_length(len(inner)) + inner
    place.tag, place.content, place.values = 0x30, inner, None


def _spoil(place: _Value, corpus: Sequence[bytes], source: random.Random) -> None:
    place.content, place.values = source.choice(_PLAIN)(place.encode(), corpus, source), None


_CHANGES = (_fill, _rename, _remove, _multiply, _reorder, _replace, _nest, _spoil)


def _parse(data: bytes, depth: int) -> list[_Value] | None:
    """Return the values that `data` is made of; None if it is not made of DER values."""
    values, at = [], 0
    while at < len(data):
        if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
            return None
        tag, size, begin = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[begin : begin + count]) if 0 < count <= 4 else LARGEST + 1
            begin += count
        if begin + size > len(data):
            return None
        values.append(_take_apart(tag, data[begin : begin + size], depth))
        at = begin + size
    return values


def _take_apart(tag: int, content: bytes, depth: int) -> _Value:
    if depth < _DEPTH and (tag & _CONSTRUCTED or tag in _NESTED):
        before = content[:1] if tag == 0x03 else b""
        inner = _parse(content[len(before) :], depth + 1)
        if inner:
            return _Value(tag, content, inner, before)
    return _Value(tag, content)


def _mutate_text(data: bytes, corpus: Sequence[bytes], source: random.Random) -> bytes:
    words = _WORD.findall(data[:LARGEST]) or [b""]
    at = source.randrange(len(words))
    change = source.randrange(6)
    if change == 0:
        words[at] = source.choice(_TOKENS)
    elif change == 1:
        words.insert(at, source.choice(_TOKENS))
    elif change == 2:
        del words[at : at + source.choice((1, 1, 2, 5, 20))]
    elif change == 3:
        piece = words[at : at + source.choice((1, 3, 10, 40))]
        words[at:at] = piece * source.choice((1, 1, 2, 20, 500))
    elif change == 4:
        others = _WORD.findall(source.choice(corpus)) or [b""]
        begin = source.randrange(len(others))
        words[at : at + source.choice((0, 1, 5))] = others[begin : begin + source.choice((1, 3, 10, 40))]
    else:
        words[at] = source.choice((bytes.upper, bytes.lower, bytes.swapcase, bytes.title))(words[at])
    return b"".join(words)[:LARGEST]


def _flip(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(source.choice((1, 1, 2, 8))):
        changed[source.randrange(len(changed))] = source.choice((0, 0xFF, 0x80, source.randrange(256)))
    return bytes(changed)


def _insert(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    at = source.randrange(len(data) + 1)
    piece = source.choice((*_LENGTHS, *_CONTENTS, source.randbytes(source.randrange(1, 9))))
    return data[:at] + piece + data[at + source.choice((0, 0, 1, len(piece))) :]


def _cut(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    return data[: source.randrange(len(data) + 1)]


def _drop(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    at = source.randrange(len(data) + 1)
    return data[:at] + data[at + source.choice((1, 2, 4, 16, 64)) :]


def _splice(data: bytes, corpus: Sequence[bytes], source: random.Random) -> bytes:
    other = source.choice(corpus)
    return data[: source.randrange(len(data) + 1)] + other[source.randrange(len(other) + 1) :]


def _repeat(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    at = source.randrange(len(data) + 1)
    piece = data[at : at + source.choice((1, 4, 32, 200))]
    return data[:at] + piece * source.choice((2, 3, 30, 400)) + data[at:]


_PLAIN: Sequence[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = (
    _flip,
    _flip,
    _insert,
    _cut,
    _drop,
    _splice,
    _repeat,
)
