"""HTTP/2 and gRPC of one connection without its socket: octets in, requests out; responses in, octets out.

One call of one method is served. Any other method gets UNIMPLEMENTED, a second call RESOURCE_EXHAUSTED.
Standards: RFC 9113 (HTTP/2); gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md).

Not here: the socket, its threads and deadlines (connection).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from doorward.core.errors import MalformedInput
from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.publishing.discovery.frames import MessageReader, render_prefix

METHOD = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

_CALLS = 4
"""Streams at once: one is served, the others are refused, and with a fifth one the connection ends."""
_REFUSED_CALLS = 16
"""Calls that are refused in the life of a connection; with one more, the connection ends."""
_SETTINGS: Mapping[SettingCodes, int] = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_CONCURRENT_STREAMS: _CALLS,
    SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 14,
    SettingCodes.MAX_FRAME_SIZE: 1 << 14,
    SettingCodes.INITIAL_WINDOW_SIZE: 1 << 18,
}
_FRAME_BYTES = 1 << 14
_HEADERS = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """Why a call is over.

    Args:
        status: for the peer; None if the peer ended it, or can be told nothing.
        why: one sentence.
        orderly: whether this is no fault of the peer.
    """

    status: GrpcStatus | None
    why: str
    orderly: bool = False


class DiscoveryCall:
    """The state of one connection; for one thread.

    `end` is None until the call is over; after that, `output` gives what is left to write, and nothing else is done.
    """

    def __init__(self) -> None:
        self.end: CallEnd | None = None
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._http.local_settings = Settings(client=False, initial_values=dict(_SETTINGS))
        self._http.decoder.max_header_list_size = _SETTINGS[SettingCodes.MAX_HEADER_LIST_SIZE]
        self._http.initiate_connection()
        self._reader = MessageReader()
        self._stream: int | None = None
        self._refused = 0
        self._prefix = b""
        self._message = memoryview(b"")

    @property
    def is_open(self) -> bool:
        """Whether the peer has begun the call that is served, and it is not over."""
        return self._stream is not None and self.end is None

    @property
    def sending(self) -> bool:
        """Whether a part of a message waits for the peer's flow control."""
        return bool(self._prefix or self._message) and self.end is None

    def receive(self, data: bytes) -> list[bytes]:
        """Take octets of the peer; return the messages that are complete with them, in order."""
        if self.end is not None:
            return []
        messages: list[bytes] = []
        try:
            for event in self._http.receive_data(data):
                if self.end is None:
                    messages += self._handle(event)
        except ProtocolError as error:
            self.end = CallEnd(status=None, why=f"the peer breaks HTTP/2: {type(error).__name__}")
        return messages

    def send(self, message: bytes) -> None:
        """Begin to send a message; the one before must have been sent, see `sending`."""
        assert self.is_open
        assert not self.sending
        self._prefix, self._message = render_prefix(message), memoryview(message)

    def finish(self, status: GrpcStatus, why: str, *, orderly: bool = False) -> None:
        """End the call with a status, also in the middle of a message, and the connection with it."""
        if self.end is not None:
            return
        self.end = CallEnd(status=status, why=why, orderly=orderly)
        self._prefix, self._message = b"", memoryview(b"")
        with suppress(ProtocolError):  # the peer may have reset the stream
            if self._stream is not None:
                self._http.send_headers(self._stream, _trailers(status, why), end_stream=True)
        with suppress(ProtocolError):
            self._http.close_connection()

    def output(self, most: int) -> bytes:
        """Return octets to write: what HTTP/2 owes the peer, and of the message about `most` bytes, as it allows."""
        if self.end is None and self._stream is not None:
            self._fill(self._stream, most)
        return bytes(self._http.data_to_send())

    def _fill(self, stream: int, most: int) -> None:
        size = min(self._http.max_outbound_frame_size, _FRAME_BYTES)
        while self.sending and most > 0:
            allowed = min(size, self._http.local_flow_control_window(stream))
            if allowed <= 0:
                return
            part: bytes | memoryview
            if self._prefix:
                part, self._prefix = self._prefix[:allowed], self._prefix[allowed:]
            else:
                part, self._message = self._message[:allowed], self._message[allowed:]
            self._http.send_data(stream, part)
            most -= len(part)

    def _handle(self, event: Event) -> Sequence[bytes]:
        match event:
            case RequestReceived(stream_id=int(number), headers=headers):
                self._begin(number, headers or [])
            case DataReceived(stream_id=int(number), data=data):
                # Taken at once: more than one message is never held, so the peer may always send on.
                with suppress(ProtocolError):  # the peer may have ended the connection: that event comes next
                    self._http.acknowledge_received_data(event.flow_controlled_length or 0, number)
                if number == self._stream:
                    return self._cut(data or b"")
            case StreamEnded(stream_id=number) if number == self._stream:
                self.finish(GrpcStatus.OK, "the peer ended the call", orderly=True)
            case StreamReset(stream_id=number) if number == self._stream:
                self.end = CallEnd(status=None, why="the peer reset the call", orderly=True)
            case ConnectionTerminated():
                self.end = CallEnd(status=None, why="the peer ended the connection", orderly=True)
        return ()

    def _begin(self, number: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        fields = dict(headers)
        if fields.get(b":method") != b"POST" or fields.get(b":path") != METHOD:
            self._refuse(number, GrpcStatus.UNIMPLEMENTED, "no such method")
        elif self._stream is not None:
            self._refuse(number, GrpcStatus.RESOURCE_EXHAUSTED, "one call a connection")
        else:
            self._stream = number
            with suppress(ProtocolError):  # the peer may have ended it already: that event comes next
                self._http.send_headers(number, _HEADERS)

    def _refuse(self, number: int, status: GrpcStatus, why: str) -> None:
        self._refused += 1
        if self._refused > _REFUSED_CALLS:
            self.finish(GrpcStatus.RESOURCE_EXHAUSTED, "too many calls that are refused")
            return
        with suppress(ProtocolError):  # the peer may have ended it already
            self._http.send_headers(number, [*_HEADERS, *_trailers(status, why)], end_stream=True)
            self._http.reset_stream(number, ErrorCodes.NO_ERROR)

    def _cut(self, data: bytes) -> list[bytes]:
        try:
            return self._reader.feed(data)
        except MalformedInput as error:
            large = error.code == "discovery-message-too-large"
            self.finish(GrpcStatus.RESOURCE_EXHAUSTED if large else GrpcStatus.INVALID_ARGUMENT, error.detail)
            return []


def _trailers(status: GrpcStatus, why: str) -> list[tuple[bytes, bytes]]:
    return [(b"grpc-status", b"%d" % status), (b"grpc-message", why.encode("ascii", "replace"))]
