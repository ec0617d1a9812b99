"""A small DER reader, element by element.

The library parses a whole CRL or nothing; with this reader, one malformed element does not make the other elements unusable.

An element has a tag, a length and a content. Lengths are definite and as short as possible (X.690 section 10.1).
Tags above 30 do not occur in the structures that are read here.
Not here: the meaning of elements (crl, ocsp_response).
Standard: X.690 sections 8.1 and 10.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT = 0x01, 0x02, 0x03, 0x04, 0x06
ENUMERATED, SEQUENCE = 0x0A, 0x30
"""Tags, as in the first octet."""

_LONG = 0x80
_LENGTH_OCTETS = 4
_HIGH_TAG = 0x1F
_ARCS = 40
_OID_LIMIT = 64
"""Octets of an object identifier that is shown."""


class MalformedDer(ValueError):
    """The bytes are not DER, or not the element that is required."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its tag and its place. `data[start:end]` is the whole element, `data[content:end]` its content."""

    data: bytes
    tag: int
    start: int
    content: int
    end: int

    @property
    def whole(self) -> bytes:
        """The element with tag and length."""
        return self.data[self.start : self.end]

    @property
    def value(self) -> bytes:
        """The content."""
        return self.data[self.content : self.end]

    def children(self) -> Iterator[Element]:
        """Yield the elements in the content, in order."""
        at = self.content
        while at < self.end:
            child = read_element(self.data, at, self.end)
            yield child
            at = child.end

    def only_child(self) -> Element:
        """Return the only element in the content, as in an explicit tag."""
        child = read_element(self.data, self.content, self.end)
        if child.end != self.end:
            raise MalformedDer("more than one element")
        return child

    def require(self, tag: int) -> Element:
        """Return this element if it has the tag; raise `MalformedDer` otherwise."""
        if self.tag != tag:
            raise MalformedDer(f"an element with tag {self.tag} instead of {tag}")
        return self

    def read_integer(self) -> int:
        """Return the value of an INTEGER or ENUMERATED, which may be negative."""
        if self.content == self.end:
            raise MalformedDer("a number without octets")
        return int.from_bytes(self.value, signed=True)


def read_bounds(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return the tag, the start of the content and the end of the element that starts at `at`.

    Raises:
        MalformedDer: there is no element, or it ends after `end`.
    """
    content = at + 2
    if content > end or data[at] & _HIGH_TAG == _HIGH_TAG:
        raise MalformedDer("no element")
    length = data[at + 1]
    if length >= _LONG:
        octets = length & ~_LONG
        content += octets
        if not 0 < octets <= _LENGTH_OCTETS or content > end:
            raise MalformedDer("no length")
        length = int.from_bytes(data[at + 2 : content])
        if length < _LONG or length < 1 << 8 * (octets - 1):
            raise MalformedDer("a length that is not in its shortest form")
    if content + length > end:
        raise MalformedDer("an element that is longer than its container")
    return data[at], content, content + length


def read_element(data: bytes, at: int, end: int) -> Element:
    """Return the element at a place; raises what `read_bounds` raises."""
    tag, content, stop = read_bounds(data, at, end)
    return Element(data, tag, at, content, stop)


def read_whole(data: bytes) -> Element:
    """Return the element that the bytes consist of; raise `MalformedDer` if there are bytes after it."""
    element = read_element(data, 0, len(data))
    if element.end != len(data):
        raise MalformedDer("bytes after the element")
    return element


def render_element(tag: int, *parts: bytes) -> bytes:
    """Return an element with this content."""
    size = sum(map(len, parts))
    if size < _LONG:
        return b"".join((bytes((tag, size)), *parts))
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return b"".join((bytes((tag, _LONG | len(octets))), octets, *parts))


def render_dotted(oid: bytes) -> str:
    """Return the content of an OBJECT IDENTIFIER in dotted form; hexadecimal digits if it is malformed."""
    arcs, arc = [], 0
    for octet in oid:
        arc = arc << 7 | octet & ~_LONG
        if octet < _LONG:
            arcs.append(arc)
            arc = 0
    if not oid or oid[-1] >= _LONG or len(oid) > _OID_LIMIT:
        return f"0x{oid[:_OID_LIMIT].hex()}"
    first = min(arcs[0] // _ARCS, 2)
    return ".".join(map(str, (first, arcs[0] - first * _ARCS, *arcs[1:])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One extension: its object identifier as content octets, whether it is critical, and its undecoded value."""

    oid: bytes
    critical: bool
    value: bytes


def read_extensions(element: Element) -> tuple[Extension, ...]:
    """Return the extensions in a SEQUENCE OF Extension; their values are not decoded.

    Raises:
        MalformedDer: it is malformed, so that it is unknown which extensions are critical.
    """
    return tuple(_read_extension(one) for one in element.require(SEQUENCE).children())


def _read_extension(element: Element) -> Extension:
    parts = list(element.require(SEQUENCE).children())
    critical = parts.pop(1).require(BOOLEAN).value if len(parts) == 3 else b"\x00"  # noqa: PLR2004  with the flag
    if len(parts) != 2 or len(critical) != 1:  # noqa: PLR2004  without it
        raise MalformedDer("not an extension")
    oid, value = parts
    return Extension(
        oid=oid.require(OBJECT).value, critical=critical != b"\x00", value=value.require(OCTET_STRING).value
    )
