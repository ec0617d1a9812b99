"""A result as Envoy reads it: the protobuf message `envoy.service.auth.v3.CheckResponse`.

Only what we answer is written: a status code, and for an admission one string per fact (`dynamic_metadata`). Most facts
are the same at each connection of a certificate to an application, so `render_prefix` and `render_last` are apart: who
answers may keep the one, and add what differs.
Standard: Protocol Buffers encoding; google.protobuf.Struct.

Not here: which facts may go to Envoy (`anonymous.is_whole`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

REFUSAL = b"\x0a\x02\x08\x07"
"""`status.code` is PERMISSION_DENIED (7), and nothing else."""

_ADMITTED = b"\x0a\x00"  # `status` is there, and its code is OK (0)
_METADATA = b"\x22"  # dynamic_metadata = 4
_ENTRY = b"\x0a"  # fields = 1
_KEY, _VALUE = b"\x0a", b"\x12"  # key = 1, value = 2
_STRING = b"\x1a"  # string_value = 3
_ONE_OCTET, _TWO_OCTETS = 1 << 7, 1 << 14
_SMALL = tuple(bytes((number,)) for number in range(_ONE_OCTET))


def render_answer(facts: Mapping[str, str]) -> bytes:
    """Return the answer that admits a connection with these facts.

    Raises:
        UnicodeEncodeError: a fact is no text (it has a lone surrogate).
    """
    return _whole(render_prefix(facts))


def render_prefix(facts: Mapping[str, str]) -> bytes:
    """Return the part of an answer that has these facts; `render_last` makes an answer of it."""
    return b"".join([_render_entry(name, value) for name, value in facts.items()])


def render_last(prefix: bytes, name: str, value: str) -> bytes:
    """Return the answer that admits a connection with the facts of `prefix` and one more.

    Args:
        prefix: made by `render_prefix`; it may be kept.
        name: of a fact that `prefix` does not have; of two with one name Envoy takes the last.
        value: of the fact.
    """
    return _whole(prefix + _render_entry(name, value))


def _whole(entries: bytes) -> bytes:
    return b"".join((_ADMITTED, _METADATA, _size(entries), entries))


def _render_entry(name: str, value: str) -> bytes:
    head, text = _render_key(name), value.encode()
    inner = b"".join((_STRING, _size(text), text))
    value_size = _size(inner)
    return b"".join((_ENTRY, _varint(len(head) + len(value_size) + len(inner)), head, value_size, inner))


@lru_cache(64)
def _render_key(name: str) -> bytes:
    """Return the first field of an entry, and the tag of the second one."""
    key = name.encode()
    return b"".join((_KEY, _size(key), key, _VALUE))


def _size(data: bytes) -> bytes:
    """Return the length as a varint."""
    return _varint(len(data))


def _varint(number: int) -> bytes:
    if number < _ONE_OCTET:
        return _SMALL[number]
    if number < _TWO_OCTETS:
        return bytes((number & 0x7F | 0x80, number >> 7))
    octets = bytearray()
    while number >= _ONE_OCTET:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
