"""The streams of one connection: which are open, what their requests have so far, and which ended.

Standard: RFC 9113 sections 5.1 and 8.1.

Not here: frames and their order (connection), sending (sending).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.http2.errors import ConnectionFailed, StreamFailed
from doorward.gateway.authorizer.http2.fields import Field, RequestFields, are_trailers, read_fields
from doorward.gateway.authorizer.http2.frames import ErrorCode, render_reset
from doorward.gateway.authorizer.http2.sending import ResponseSender
from doorward.gateway.authorizer.http2.streams import Request, Stream


class StreamTable:
    """The streams of one connection.

    Args:
        sender: of the responses; a stream that ends is forgotten there.
    """

    def __init__(self, sender: ResponseSender) -> None:
        self.last = 0
        self._sender = sender
        self._open: dict[int, Stream] = {}
        self._reset: dict[int, None] = {}
        self._held = 0
        self._requests: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self._open.values()))

    def get(self, number: int) -> Stream | None:
        """Return an open stream; None for any other one."""
        return self._open.get(number)

    def take_requests(self) -> Sequence[Request]:
        """Return the requests that are whole since the last time, in order; those that were taken back are not there."""
        requests, self._requests = tuple(self._requests.values()), {}
        return requests

    def check_known(self, number: int) -> None:
        """Refuse a frame of a stream that was never opened."""
        if not number & 1 or number > self.last:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a frame of a stream that is not open")

    def check_closed(self, number: int) -> None:
        """Refuse a frame of a stream that takes no more; it is ignored if the peer may not know yet that we ended it."""
        self.check_known(number)
        if number not in self._reset:
            raise StreamFailed(number, ErrorCode.STREAM_CLOSED)

    def take_fields(self, number: int, pairs: list[Field] | None, *, ends: bool, until: float) -> None:
        """Take a header block: a stream begins with it, or ends with it.

        Args:
            number: of the stream, odd.
            pairs: the fields; None if they are too long.
            ends: whether the stream ends.
            until: when the request must be whole.
        """
        stream = self._open.get(number)
        if stream is None:
            self._begin(number, pairs, ends=ends, until=until)
        elif stream.is_complete:
            raise StreamFailed(number, ErrorCode.STREAM_CLOSED)
        elif not ends or pairs is None or not are_trailers(pairs):
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR)
        else:
            self.complete(stream)

    def _begin(self, number: int, pairs: list[Field] | None, *, ends: bool, until: float) -> None:
        if number <= self.last:
            self.check_closed(number)
            return
        self.last = number
        if len(self._open) >= limits.STREAMS:
            raise StreamFailed(number, ErrorCode.REFUSED_STREAM)
        fields = RequestFields() if pairs is None else read_fields(pairs)
        if fields is None:
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR)
        stream = self._open[number] = Stream(number, fields, until)
        if pairs is None:
            self._refuse_size(stream)
        if ends:
            self.complete(stream)

    def add(self, stream: Stream, part: bytes) -> None:
        """Take a part of a body; if there is too much, the request is given out as too large at once."""
        stream.size += len(part)
        if stream.is_too_large:
            return
        stream.parts.append(part)
        self._held += len(part)
        if stream.size > limits.BODY_BYTES or self._held > limits.HELD_BYTES:
            self._refuse_size(stream)

    def complete(self, stream: Stream) -> None:
        """Note that the whole request is there."""
        if stream.fields.length not in {-1, stream.size}:
            raise StreamFailed(stream.number, ErrorCode.PROTOCOL_ERROR)
        stream.is_complete = True
        if not stream.is_too_large:
            body = stream.parts[0] if len(stream.parts) == 1 else b"".join(stream.parts)
            self._drop(stream)
            self._requests[stream.number] = Request(stream.number, stream.fields, body)

    def finish(self, stream: Stream) -> None:
        """Forget a stream that was answered; if its request is not whole, the peer need not go on."""
        if stream.is_complete:
            self.close(stream)
        else:
            self.end(stream.number, ErrorCode.NO_ERROR)

    def end(self, number: int, code: ErrorCode) -> None:
        """Send RST_STREAM and forget the stream."""
        self._sender.out.append(render_reset(number, code))
        self._reset[number] = None
        if len(self._reset) > limits.REMEMBERED_RESETS:
            del self._reset[next(iter(self._reset))]
        stream = self._open.get(number)
        if stream is not None:
            self.close(stream)

    def close(self, stream: Stream) -> None:
        """Forget a stream; its request, if it was not given out, with it."""
        del self._open[stream.number]
        self._requests.pop(stream.number, None)
        self._sender.forget(stream)
        self._drop(stream)

    def clear(self) -> None:
        """Forget all streams."""
        self._open.clear()
        self._requests.clear()

    def _refuse_size(self, stream: Stream) -> None:
        self._drop(stream)
        stream.is_too_large = True
        self._requests[stream.number] = Request(stream.number, stream.fields, b"", is_too_large=True)

    def _drop(self, stream: Stream) -> None:
        """Let go of the body."""
        if stream.parts:
            self._held -= sum(map(len, stream.parts))
            stream.parts = []
