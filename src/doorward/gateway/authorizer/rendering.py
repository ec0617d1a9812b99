"""A result as Envoy reads it: the protobuf message `envoy.service.auth.v3.CheckResponse`.

Only what we answer is written: a status code, and for an admission one string per fact (`dynamic_metadata`). Most facts
are the same at each connection of a certificate to an application, so `render_prefix` and `render_last` are apart: who
answers may keep the one, and add what differs.
Standard: Protocol Buffers encoding; google.protobuf.Struct.

Not here: which facts may go to Envoy (`anonymous.is_whole`).
"""

from __future__ import annotations

from collections.abc import Mapping

REFUSAL = b"\x0a\x02\x08\x07"
"""`status.code` is PERMISSION_DENIED (7), and nothing else."""

_ADMITTED = b"\x0a\x00"  # `status` is there, and its code is OK (0)
_METADATA = b"\x22"  # dynamic_metadata = 4
_ENTRY, _KEY, _VALUE, _STRING = (
    b"\x0a",
    b"\x0a",
    b"\x12",
    b"\x1a",
)  # fields = 1; key = 1, value = 2; string_value = 3
_ONE_OCTET = 0x80


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
    key, text = name.encode(), value.encode()
    inner = b"".join((_STRING, _size(text), text))
    entry = b"".join((_KEY, _size(key), key, _VALUE, _size(inner), inner))
    return b"".join((_ENTRY, _size(entry), entry))


def _size(data: bytes) -> bytes:
    """Return the length as a varint."""
    left = len(data)
    if left < _ONE_OCTET:
        return bytes((left,))
    octets = bytearray()
    while left >= _ONE_OCTET:
        octets.append(left & 0x7F | 0x80)
        left >>= 7
    octets.append(left)
    return bytes(octets)
