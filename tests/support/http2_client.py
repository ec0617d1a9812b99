"""A client of HTTP/2 for unit tests of the authorizer's connection: single frames, sound and broken, and what comes back."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from doorward.gateway.authorizer.http2.connection import ServerConnection
from doorward.gateway.authorizer.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    PREFACE,
    ErrorCode,
    FrameType,
    Setting,
    render_frame,
    render_settings,
)
from doorward.gateway.authorizer.http2.header_blocks import FieldMemo
from doorward.gateway.authorizer.http2.streams import Request

FIELDS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/x"),
    ("content-type", "application/grpc"),
)
HEAD, TRAILERS = b"\x88", b"\x00\x01t\x01v"
"""Header blocks of a response."""


@dataclass
class Frame:
    """A frame that the server sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> ErrorCode:
        """The error of RST_STREAM or GOAWAY."""
        return ErrorCode(struct.unpack(">I", self.payload[-4:])[0])


def split(octets: bytes) -> list[Frame]:
    """The frames of octets; none is cut off."""
    frames, at = [], 0
    while at < len(octets):
        kind, flags, stream = HEADER.unpack_from(octets, at)
        end = at + HEADER_BYTES + (kind >> 8)
        frames.append(Frame(kind & 0xFF, flags, stream, octets[at + HEADER_BYTES : end]))
        at = end
    assert at == len(octets)
    return frames


@dataclass
class Client:
    """One client and the connection that it talks to; the time stands still until it is turned."""

    now: float = 0.0
    connection: ServerConnection = field(init=False)
    requests: list[Request] = field(default_factory=list)
    encoder: Encoder = field(default_factory=Encoder)
    decoder: Decoder = field(default_factory=Decoder)

    def __post_init__(self) -> None:
        self.connection = ServerConnection(FieldMemo(), self.now)

    def send(self, *octets: bytes) -> list[Frame]:
        """Send octets; return the frames that come back."""
        self.requests += self.connection.receive(b"".join(octets), self.now)
        return self.heard()

    def heard(self) -> list[Frame]:
        """The frames that the server sent since the last time."""
        return split(self.connection.take_output())

    def begin(self, settings: dict[Setting, int] | None = None) -> list[Frame]:
        """Send preface and settings."""
        return self.send(PREFACE, render_settings(settings or {}))

    def headers(
        self,
        stream: int,
        fields: tuple[tuple[str, str], ...] = FIELDS,
        flags: int = END_HEADERS,
        before: bytes = b"",
    ) -> bytes:
        """HEADERS."""
        return render_frame(FrameType.HEADERS, flags, stream, before + self.encoder.encode(fields))

    def call(self, stream: int, body: bytes = b"") -> bytes:
        """A whole request."""
        return self.headers(stream) + data(stream, body, END_STREAM)

    def answer(self, stream: int, body: bytes = b"answer") -> list[Frame]:
        """Let the server answer; return the frames."""
        self.connection.respond(stream, HEAD, body, TRAILERS)
        return self.heard()


def data(stream: int, body: bytes = b"", flags: int = 0) -> bytes:
    """DATA."""
    return render_frame(FrameType.DATA, flags, stream, body)


def reset(stream: int, code: ErrorCode = ErrorCode.CANCEL) -> bytes:
    """RST_STREAM."""
    return render_frame(FrameType.RST_STREAM, 0, stream, struct.pack(">I", code))


def window_update(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE."""
    return render_frame(FrameType.WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def goaway(code: ErrorCode = ErrorCode.NO_ERROR) -> bytes:
    """GOAWAY."""
    return render_frame(FrameType.GOAWAY, 0, 0, struct.pack(">II", 0, code))


def begun(settings: dict[Setting, int] | None = None) -> Client:
    """A client that has sent its settings and heard the server's."""
    client = Client()
    client.begin(settings)
    client.send(render_frame(FrameType.SETTINGS, ACK, 0))
    client.encoder.header_table_size = 0
    return client
