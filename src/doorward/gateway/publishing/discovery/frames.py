"""gRPC's length-prefixed messages, as they stand in the DATA frames of an HTTP/2 stream.

Each message has a prefix of five octets: one that says whether the message is compressed, and its length.
Standard: gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), Length-Prefixed-Message.

Not here: HTTP/2 (call), and the messages themselves (messages, api).
"""

from __future__ import annotations

import struct

from doorward.core.errors import MalformedInput

MESSAGE_BYTES = 8 << 20
"""The longest message that is accepted. Envoy's first request for a thousand applications has some 200 kB."""

PREFIX_BYTES = 5
_PREFIX = struct.Struct(">BI")


def parse_prefix(prefix: bytes, limit: int = MESSAGE_BYTES) -> int:
    """Return the length of the message that follows.

    Args:
        prefix: five octets.
        limit: bytes of a message, at most.

    Raises:
        MalformedInput: `discovery-frame-malformed`: not five octets, or the message is compressed;
            `discovery-message-too-large`.
    """
    if len(prefix) != PREFIX_BYTES:
        raise MalformedInput("discovery-frame-malformed", "the prefix of a gRPC message has five octets")
    compressed, length = _PREFIX.unpack(prefix)
    if compressed:  # no compression was offered, and a small compressed message can be a large one
        raise MalformedInput(
            "discovery-frame-malformed", "the gRPC message is compressed or has an unknown flag"
        )
    if length > limit:
        raise MalformedInput(
            "discovery-message-too-large", f"the gRPC message has {length} bytes, and {limit} are allowed"
        )
    return int(length)


def render_prefix(message: bytes) -> bytes:
    """Return the prefix of a message, not compressed: five octets, which stand before it."""
    return _PREFIX.pack(0, len(message))


def render_message(message: bytes) -> bytes:
    """Return a message with its prefix; it is copied, which a large one is not worth."""
    return b"".join((render_prefix(message), message))


class MessageReader:
    """Cuts the octets of one direction into messages; it holds one message and what arrived with its end, at most.

    Args:
        limit: bytes of a message, at most.
    """

    def __init__(self, limit: int = MESSAGE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Octets of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Return each message that is complete with these octets.

        Raises:
            MalformedInput: see `parse_prefix`; the stream must be ended.
        """
        self._buffer += data
        messages = []
        at = 0
        while len(self._buffer) - at >= PREFIX_BYTES:
            begin = at + PREFIX_BYTES
            end = begin + parse_prefix(bytes(self._buffer[at:begin]), self._limit)
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[begin:end]))
            at = end
        del self._buffer[:at]
        return messages
