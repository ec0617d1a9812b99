"""Sends responses as far as the peer's windows allow.

A response that fits is one piece of octets: head, body and trailers in three frames. Any other one is sent in parts, as
the peer opens its windows.
Standard: RFC 9113 sections 5.2, 6.9 and 8.1.

Not here: what the peer sends (connection).
"""

from __future__ import annotations

from doorward.gateway.authorizer.http2.frames import (
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    HEADER,
    LARGEST_WINDOW,
    PAYLOAD_BYTES,
    FrameType,
)
from doorward.gateway.authorizer.http2.streams import Stream

_END = END_HEADERS | END_STREAM


class ResponseSender:
    """The responses of one connection.

    `out` has the octets for the socket in order; other frames are appended to it too.
    """

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.initial_window = FIRST_WINDOW
        self._window = FIRST_WINDOW
        self._blocked: dict[int, Stream] = {}

    def send(self, stream: Stream, head: bytes, body: bytes, trailers: bytes) -> bool:
        """Begin a response; return whether all of it is in `out`.

        Args:
            stream: of the response.
            head: header block at its start, at most 16 KiB.
            body: its octets.
            trailers: header block at its end, at most 16 KiB.
        """
        size, number = len(body), stream.number
        allowed = self.initial_window + stream.window
        if size <= self._window and size <= allowed and size <= PAYLOAD_BYTES:
            self._window -= size
            pack = HEADER.pack
            self.out += (
                pack(len(head) << 8 | FrameType.HEADERS, END_HEADERS, number),
                head,
                pack(size << 8, 0, number),
                body,
                pack(len(trailers) << 8 | FrameType.HEADERS, _END, number),
                trailers,
            )
            return True
        self.out += (HEADER.pack(len(head) << 8 | FrameType.HEADERS, END_HEADERS, number), head)
        stream.unsent, stream.trailers = memoryview(body), trailers
        if self._go_on(stream):
            return True
        self._blocked[number] = stream
        return False

    def send_trailers_only(self, stream: Stream, block: bytes) -> None:
        """Send a response without a body."""
        self.out += (HEADER.pack(len(block) << 8 | FrameType.HEADERS, _END, stream.number), block)

    def forget(self, stream: Stream) -> None:
        """Send no more of a response."""
        self._blocked.pop(stream.number, None)

    def is_blocked(self, stream: Stream) -> bool:
        """Return whether a response was begun and waits for the peer."""
        return stream.number in self._blocked

    def widen(self, increment: int) -> bool:
        """Widen the connection's window; return False if it becomes larger than the standard allows."""
        self._window += increment
        return self._window <= LARGEST_WINDOW

    def go_on(self) -> list[Stream]:
        """Send what the windows allow by now; return the streams of the responses that are complete with it."""
        done = [stream for stream in self._blocked.values() if self._go_on(stream)]
        for stream in done:
            del self._blocked[stream.number]
        return done

    def _go_on(self, stream: Stream) -> bool:
        while stream.unsent:
            allowed = min(self._window, self.initial_window + stream.window, PAYLOAD_BYTES)
            if allowed <= 0:
                return False
            part, stream.unsent = bytes(stream.unsent[:allowed]), stream.unsent[allowed:]
            self._window -= len(part)
            stream.window -= len(part)
            self.out += (HEADER.pack(len(part) << 8, 0, stream.number), part)
        self.send_trailers_only(stream, stream.trailers)
        return True
