"""The server's side of one HTTP/2 connection without its socket: octets in, requests out; responses in, octets out.

A request is given out when all of it has arrived. What a peer may send, hold and repeat is limited (`limits`); what
breaks HTTP/2 ends a stream or the connection, as the standard says for each case.
Standard: RFC 9113. Not supported, because nothing asks for it: push, priorities (ignored), CONNECT.

Not here: the socket (peer); gRPC (unary); the streams (stream_table); the sending (sending).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.http2.budget import FrameBudget
from doorward.gateway.authorizer.http2.errors import ConnectionFailed, StreamFailed
from doorward.gateway.authorizer.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    GOAWAY_BYTES,
    HEADER,
    HEADER_BYTES,
    LARGEST_PAYLOAD,
    LARGEST_WINDOW,
    PADDED,
    PAYLOAD_BYTES,
    PING_BYTES,
    PREFACE,
    PRIORITIZED,
    PRIORITY_BYTES,
    RESET_BYTES,
    SETTING_BYTES,
    STREAM_MASK,
    WINDOW_UPDATE_BYTES,
    ErrorCode,
    FrameType,
    Setting,
    parse_number,
    parse_settings,
    render_frame,
    render_goaway,
    render_settings,
    render_window_update,
)
from doorward.gateway.authorizer.http2.header_blocks import FieldMemo, HeaderDecoder
from doorward.gateway.authorizer.http2.sending import ResponseSender
from doorward.gateway.authorizer.http2.stream_table import StreamTable
from doorward.gateway.authorizer.http2.streams import Request

_OPENING = render_settings(
    {
        Setting.HEADER_TABLE_SIZE: 0,
        Setting.MAX_CONCURRENT_STREAMS: limits.STREAMS,
        Setting.INITIAL_WINDOW_SIZE: limits.STREAM_WINDOW,
        Setting.MAX_HEADER_LIST_SIZE: limits.HEADER_LIST_BYTES,
    }
) + render_window_update(0, limits.CONNECTION_WINDOW - FIRST_WINDOW)
"""SETTINGS must be first: Envoy ends the connection otherwise."""

_PLAIN_HEADERS = END_HEADERS | PADDED | PRIORITIZED
"""If END_HEADERS is the only one of these flags that is set, the payload is a whole block, without padding and priority."""

_SETTINGS_ACK = render_frame(FrameType.SETTINGS, ACK, 0)


class ServerConnection:
    """The state of one connection; for one thread.

    Args:
        memo: of header texts; connections may share it.
        now: monotonic seconds.
    """

    def __init__(self, memo: FieldMemo, now: float) -> None:
        self.is_over = False
        self.why = ""
        self._now = now
        self._begun_by: float | None = now + limits.BEGIN_SECONDS
        self._frame_by: float | None = None
        self._buffer = b""
        self._has_preface = False
        self._decoder = HeaderDecoder(memo, limits.HEADER_LIST_BYTES)
        self._block: _Block | None = None
        self._sender = ResponseSender()
        self._sender.out.append(_OPENING)
        self._streams = StreamTable(self._sender)
        self._window = limits.CONNECTION_WINDOW
        self._taken = 0
        self._leaves = False
        self._peer_leaves = False
        self._cheap = 0
        self._budget = FrameBudget(now)
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.DATA: self._data,
            FrameType.HEADERS: self._headers,
            FrameType.PRIORITY: self._priority,
            FrameType.RST_STREAM: self._rst_stream,
            FrameType.SETTINGS: self._settings,
            FrameType.PUSH_PROMISE: self._push_promise,
            FrameType.PING: self._ping,
            FrameType.GOAWAY: self._goaway,
            FrameType.WINDOW_UPDATE: self._window_update,
            FrameType.CONTINUATION: self._continuation,
        }

    @property
    def is_idle(self) -> bool:
        """Whether nothing is unfinished: no deadline runs."""
        return not self._streams and self._begun_by is None and self._frame_by is None and self._block is None

    @property
    def has_output(self) -> bool:
        """Whether there are octets to write."""
        return bool(self._sender.out)

    def has(self, number: int) -> bool:
        """Return whether a stream is open."""
        return number in self._streams

    def receive(self, data: bytes, now: float) -> Sequence[Request]:
        """Take octets of the peer; return the requests that are whole with them, in order."""
        if self.is_over:
            return ()
        self._now, self._cheap = now, 0
        try:
            self._parse(self._buffer + data if self._buffer else data)
            self._pay()
        except ConnectionFailed as failure:
            self.fail(failure.code, failure.why)
            return ()
        if self._taken >= limits.CONNECTION_WINDOW // 2:
            self._sender.out.append(render_window_update(0, self._taken))
            self._window += self._taken
            self._taken = 0
        for stream in self._sender.go_on():
            self._streams.finish(stream)
        self._end_if_left()
        return self._streams.take_requests()

    def respond(self, number: int, head: bytes, body: bytes, trailers: bytes) -> None:
        """Answer a request; nothing happens if its stream was ended meanwhile.

        Args:
            number: of the stream.
            head: header block (HPACK, without the dynamic table).
            body: the octets.
            trailers: header block.
        """
        stream = self._streams.get(number)
        if stream is None or self._sender.is_blocked(stream):
            return
        if self._sender.send(stream, head, body, trailers):
            self._streams.finish(stream)
            self._end_if_left()
        else:
            stream.until = self._now + limits.SEND_SECONDS

    def refuse(self, number: int, block: bytes) -> None:
        """Answer a request by a header block alone; nothing happens if its stream was ended meanwhile."""
        stream = self._streams.get(number)
        if stream is not None and not self._sender.is_blocked(stream):
            self._sender.send_trailers_only(stream, block)
            self._streams.finish(stream)
            self._end_if_left()

    def take_output(self) -> bytes:
        """Return the octets to write; they are returned once."""
        out, self._sender.out = b"".join(self._sender.out), []
        return out

    def leave(self) -> None:
        """Accept no more streams; the connection is over when those that are open were answered."""
        if not self.is_over and not self._leaves:
            self._leaves = True
            self._sender.out.append(render_goaway(self._streams.last, ErrorCode.NO_ERROR))
            self._end_if_left()

    def fail(self, code: ErrorCode, why: str) -> None:
        """End the connection at once."""
        if not self.is_over:
            self._sender.out.append(render_goaway(self._streams.last, code))
            self.is_over, self.why = True, why
            self._streams.clear()

    def expire(self, now: float) -> None:
        """End what the peer does not finish in time; a request that waits for its answer stays."""
        if self.is_over:
            return
        self._now = now
        block_by = self._block.until if self._block is not None else None
        if any(by is not None and now >= by for by in (self._begun_by, self._frame_by, block_by)):
            self.fail(ErrorCode.PROTOCOL_ERROR, "the peer begins what it does not finish")
            return
        for stream in self._streams:
            if now >= stream.until and (not stream.is_complete or self._sender.is_blocked(stream)):
                self._streams.end(stream.number, ErrorCode.CANCEL)
        self._end_if_left()

    def _end_if_left(self) -> None:
        if (self._leaves or self._peer_leaves) and not self._streams:
            self.is_over = True

    def _pay(self) -> None:
        if self._cheap and not self._budget.spend(self._cheap, self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask nothing")

    # Frames.

    def _parse(self, data: bytes) -> None:
        at, end = 0, len(data)
        if not self._has_preface:
            if data[: len(PREFACE)] != PREFACE[:end]:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "the peer does not speak HTTP/2")
            if end < len(PREFACE):
                self._buffer = data
                return
            self._has_preface, at = True, len(PREFACE)
        begin, unpack = at, HEADER.unpack_from
        while end - at >= HEADER_BYTES:
            kind, flags, number = unpack(data, at)
            stop = at + HEADER_BYTES + (kind >> 8)
            if kind >> 8 > PAYLOAD_BYTES:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a frame is too large")
            if stop > end:
                break
            self._handle(kind & 0xFF, flags, number & STREAM_MASK, data[at + HEADER_BYTES : stop])
            at = stop
        self._buffer = data[at:]
        if not self._buffer:
            self._frame_by = None
        elif at > begin or self._frame_by is None:
            self._frame_by = self._now + limits.FRAME_SECONDS

    def _handle(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != FrameType.CONTINUATION:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        if self._begun_by is not None:
            if kind != FrameType.SETTINGS or flags & ACK:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._begun_by = None
        handler = self._handlers.get(kind)
        if handler is None:
            self._cheap += 1
            return
        try:
            handler(flags, number, payload)
        except StreamFailed as failure:
            self._cheap += 1
            self._streams.end(failure.stream, failure.code)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        length = len(payload)
        self._window -= length
        self._taken += length
        if self._window < 0:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        stream = self._streams.get(number)
        if stream is None or stream.is_complete:
            self._cheap += 1
            self._streams.check_closed(number)
            return
        stream.received += length
        if stream.received > limits.STREAM_WINDOW:
            raise StreamFailed(number, ErrorCode.FLOW_CONTROL_ERROR)
        if flags & PADDED:
            payload = _unpadded(payload)
        if len(payload) < limits.SMALL_DATA_BYTES and not flags & END_STREAM:
            self._cheap += 1
        self._streams.add(stream, payload)
        if flags & END_STREAM:
            self._streams.complete(stream)

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        if not number & 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a client opens streams with odd numbers")
        # As Envoy sends them.
        if flags & _PLAIN_HEADERS == END_HEADERS and len(payload) <= limits.BLOCK_BYTES:
            self._take_block(number, payload, ends=bool(flags & END_STREAM))
            return
        if flags & PADDED:
            payload = _unpadded(payload)
        depends = 0
        if flags & PRIORITIZED:
            if len(payload) < PRIORITY_BYTES:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
            depends, payload = parse_number(payload[:4]) & STREAM_MASK, payload[PRIORITY_BYTES:]
        block = _Block(number, self._now + limits.FRAME_SECONDS)
        block.ends, block.is_bad = bool(flags & END_STREAM), depends == number
        self._block = block
        self._add_to_block(block, flags, payload)

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if block is None or block.number != number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._add_to_block(block, flags, payload)

    def _add_to_block(self, block: _Block, flags: int, part: bytes) -> None:
        """Add a part; decode the whole block, also if its stream is refused: the peer's table goes on."""
        block.parts.append(part)
        block.size += len(part)
        if block.size > limits.BLOCK_BYTES or len(block.parts) > limits.BLOCK_FRAMES:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too long")
        if not flags & END_HEADERS:
            return
        self._block = None
        whole = part if len(block.parts) == 1 else b"".join(block.parts)
        self._take_block(block.number, whole, ends=block.ends, is_bad=block.is_bad)

    def _take_block(self, number: int, block: bytes, *, ends: bool, is_bad: bool = False) -> None:
        """Decode a whole block, and begin or end its stream."""
        self._cheap += len(block) >> 10
        pairs = self._decoder.decode(block)
        if is_bad or self._leaves:
            is_new = number > self._streams.last
            if is_new:
                self._streams.last = number
            if is_bad:
                raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR)
            if is_new:
                raise StreamFailed(number, ErrorCode.REFUSED_STREAM)
        self._streams.take_fields(number, pairs, ends=ends, until=self._now + limits.REQUEST_SECONDS)

    def _priority(self, _flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1
        if not number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != PRIORITY_BYTES:
            self._streams.check_known(number)
            raise StreamFailed(number, ErrorCode.FRAME_SIZE_ERROR)

    def _rst_stream(self, _flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1
        if len(payload) != RESET_BYTES:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        self._streams.check_known(number)
        stream = self._streams.get(number)
        if stream is not None:
            self._streams.close(stream)

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1 + (len(payload) >> 6)
        if number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "SETTINGS of a stream")
        if len(payload) % SETTING_BYTES or (flags & ACK and payload):
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if flags & ACK:
            self._decoder.forbid_table()
            return
        for setting, value in parse_settings(payload):
            if setting == Setting.INITIAL_WINDOW_SIZE:
                if value > LARGEST_WINDOW:
                    raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large")
                self._sender.initial_window = value
            elif (setting == Setting.ENABLE_PUSH and value > 1) or (
                setting == Setting.MAX_FRAME_SIZE and not PAYLOAD_BYTES <= value <= LARGEST_PAYLOAD
            ):
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a setting has a wrong value")
        self._sender.out.append(_SETTINGS_ACK)

    def _push_promise(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1
        if number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "PING of a stream")
        if len(payload) != PING_BYTES:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        if not flags & ACK:
            self._sender.out.append(render_frame(FrameType.PING, ACK, 0, payload))

    def _goaway(self, _flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1
        if number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "GOAWAY of a stream")
        if len(payload) < GOAWAY_BYTES:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._peer_leaves = True

    def _window_update(self, _flags: int, number: int, payload: bytes) -> None:
        self._cheap += 1
        if len(payload) != WINDOW_UPDATE_BYTES:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        increment = parse_number(payload) & LARGEST_WINDOW
        if number:
            self._widen_stream(number, increment)
        elif not increment:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a window is widened by nothing")
        elif not self._sender.widen(increment):
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")

    def _widen_stream(self, number: int, increment: int) -> None:
        self._streams.check_known(number)
        stream = self._streams.get(number)
        if stream is None:
            return
        if not increment:
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR)
        stream.window += increment
        if self._sender.initial_window + stream.window > LARGEST_WINDOW:
            raise StreamFailed(number, ErrorCode.FLOW_CONTROL_ERROR)


class _Block:
    """A header block, which may arrive in several frames."""

    def __init__(self, number: int, until: float) -> None:
        self.number = number
        self.until = until
        self.ends = False
        self.is_bad = False
        self.parts: list[bytes] = []
        self.size = 0


def _unpadded(payload: bytes) -> bytes:
    """Return the payload of a frame without its padding and the octet that says how much there is."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "the padding is longer than the frame")
    return payload[1 : len(payload) - payload[0]]
