"""The frames of HTTP/2: their names, and how the server writes its own.

Standard: RFC 9113 sections 4, 6 and 7.

Not here: what a frame of the peer does (connection).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first octets of a client (RFC 9113 section 3.4)."""

HEADER = struct.Struct(">IBI")
"""Of a frame: length and type together in four octets, flags, stream."""
HEADER_BYTES = 9
PAYLOAD_BYTES = 1 << 14
"""The largest payload that each peer must accept; we never offer to accept more."""
LARGEST_PAYLOAD = (1 << 24) - 1
LARGEST_WINDOW = (1 << 31) - 1
FIRST_WINDOW = 65_535
"""Of the connection and of each stream, until a peer says otherwise."""
PRIORITY_BYTES, RESET_BYTES, PING_BYTES, GOAWAY_BYTES, WINDOW_UPDATE_BYTES, SETTING_BYTES = 5, 4, 8, 8, 4, 6
"""Sizes of payloads; GOAWAY may have more, and SETTINGS has any number of settings."""
STREAM_MASK = (1 << 31) - 1
"""The bit above it is reserved, and ignored."""


class FrameType(IntEnum):
    """The types of frames; all others are ignored."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20


class Setting(IntEnum):
    """The settings that we know; all others are ignored."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """Why a stream or the connection is ended."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_TWO_NUMBERS = struct.Struct(">II")


def render_frame(kind: FrameType, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def render_settings(settings: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    return render_frame(
        FrameType.SETTINGS, 0, 0, b"".join(_SETTING.pack(one, value) for one, value in settings.items())
    )


def render_reset(stream: int, code: ErrorCode) -> bytes:
    """Return a RST_STREAM frame."""
    return render_frame(FrameType.RST_STREAM, 0, stream, _NUMBER.pack(code))


def render_goaway(last: int, code: ErrorCode) -> bytes:
    """Return a GOAWAY frame; `last` is the last stream that was accepted."""
    return render_frame(FrameType.GOAWAY, 0, 0, _TWO_NUMBERS.pack(last, code))


def render_window_update(stream: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return render_frame(FrameType.WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


def parse_number(payload: bytes) -> int:
    """Return the number that four octets are."""
    return int(_NUMBER.unpack(payload)[0])


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return pairs of setting and value in order; the payload is a multiple of six octets."""
    return list(_SETTING.iter_unpack(payload))
