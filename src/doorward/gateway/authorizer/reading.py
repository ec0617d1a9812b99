"""The certificate in Envoy's question: the protobuf message `envoy.service.auth.v3.CheckRequest`.

Of the message only `attributes.source.certificate` is read (the fields 1, 1 and 5); all other fields are skipped. As the
standard says, parts of a message that is sent twice are merged, and of a text that is sent twice the last one counts.
Standard: Protocol Buffers encoding (proto3).
"""

from __future__ import annotations

from doorward.core.errors import MalformedInput

_ATTRIBUTES, _SOURCE, _CERTIFICATE = 1, 1, 5
_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_DEEPEST = 100
"""Groups within each other, at most: as protobuf's own library has it."""
_LONGEST_TAG = _LONGEST_LENGTH = 5
_LONGEST_VARINT = 10
_MORE = 0x80
_LARGEST_TAG = (1 << 32) - 1
_LARGEST_LENGTH = (1 << 31) - 1


def read_certificate(message: bytes) -> str:
    """Return the certificate of a question; empty if there is none.

    Args:
        message: a serialized CheckRequest.

    Raises:
        MalformedInput: `check-malformed`: the message is cut off, or no protobuf message.
    """
    try:
        found = b""
        for begin, end in _find(message, 0, len(message), _ATTRIBUTES):
            for within, until in _find(message, begin, end, _SOURCE):
                for first, stop in _find(message, within, until, _CERTIFICATE):
                    found = message[first:stop]
                    if not found.isascii():
                        found.decode()
        return found.decode()
    except (IndexError, ValueError):  # also text that is not UTF-8
        raise MalformedInput("check-malformed", "the question is no CheckRequest") from None


def _find(data: bytes, at: int, end: int, wanted: int) -> list[tuple[int, int]]:
    """Return where the octets of a field are, each time that it occurs; skip all other fields."""
    found = []
    tag_wanted = wanted << 3 | _BYTES
    while at < end:
        tag = data[at]
        at += 1
        if tag >= _MORE:
            tag, at = _varint(data, at - 1, end, _LONGEST_TAG)
        if not 0 < tag >> 3 <= _LARGEST_TAG >> 3:
            raise ValueError
        if tag & 7 == _BYTES:
            length = data[at]
            at += 1
            if length >= _MORE:
                length, at = _varint(data, at - 1, end, _LONGEST_LENGTH)
            begin, at = at, at + length
            if length > _LARGEST_LENGTH or at > end:
                raise ValueError
            if tag == tag_wanted:
                found.append((begin, at))
        else:
            at = _skip(data, at, end, tag)
    return found


def _skip(data: bytes, at: int, end: int, tag: int) -> int:
    """Return the place behind a field; a group may have further fields and groups."""
    groups: list[int] = []
    while True:
        number, kind = tag >> 3, tag & 7
        if kind == _GROUP and len(groups) < _DEEPEST:
            groups.append(number)
        elif kind == _END_GROUP and groups and groups[-1] == number:
            groups.pop()
        else:
            at = _skip_value(data, at, end, kind)
        if at > end or tag > _LARGEST_TAG:
            raise ValueError
        if not groups:
            return at
        tag, at = _varint(data, at, end, _LONGEST_TAG)


def _skip_value(data: bytes, at: int, end: int, kind: int) -> int:
    if kind == _VARINT:
        return _varint(data, at, end, _LONGEST_VARINT)[1]
    if kind == _FIXED64:
        return at + 8
    if kind == _FIXED32:
        return at + 4
    if kind != _BYTES:
        raise ValueError
    length, at = _varint(data, at, end, _LONGEST_LENGTH)
    return at + length


def _varint(data: bytes, at: int, end: int, longest: int) -> tuple[int, int]:
    """Return a number and the place behind it."""
    number = shift = 0
    for place in range(at, min(end, at + longest)):
        octet = data[place]
        number |= (octet & 0x7F) << shift
        if octet < _MORE:
            return number, place + 1
        shift += 7
    raise ValueError
