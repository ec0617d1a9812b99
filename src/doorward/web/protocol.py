"""Limits in time and size for one HTTP connection, before a request reaches an application.

uvicorn's parser (httptools) accepts any number of header fields. Its server waits without limit for the rest of a request,
for a peer that does not read, and for a peer that reads a byte now and then. With each of these an attacker can hold memory
and connections with almost no traffic ("slowloris"); here each has a limit.

Not here: limits on bodies (edge.read_body) and on the number of connections (serving).
Standard: RFC 9112 section 9.5 (a server should close idle connections), RFC 6585 section 5 (431).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""Precedent: Apache's RequestReadTimeout gives a head 20 to 40 s, HAProxy's guide 5 to 10 s."""

STALL_SECONDS = 30.0
"""Precedent: nginx's send_timeout is 60 s."""

ANSWER_SECONDS = 120.0
"""From a complete head to the last byte of its answer. Precedent: Apache's Timeout and nginx's limits apply between two
bytes only; a revocation list of 7.5 MB needs 64 KB a second."""

MAX_HEAD_BYTES = 16 * 1024
"""Precedent: nginx takes 4 lines of 8 KiB, Apache lines of 8 KiB."""

MAX_LARGE_HEAD_BYTES = 64 * 1024
"""Behind the door, which has the same limit: room for a return path of 20,000 characters, the assertion and cookies."""

MAX_PIPELINED = 8
"""Requests that may wait behind the one that is being answered (RFC 9112 section 9.3.2). The parser makes a task of each:
256 KiB can contain fourteen thousand requests."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _TooManyPipelined(Exception):
    """Stops the parser."""


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits: time and size of a request head, number of waiting requests, time of an answer."""

    max_head_bytes = MAX_HEAD_BYTES

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None
    _answer_until = 0.0
    _in_head = False
    _head_bytes = 0
    _idle_bytes = 0
    """Behind a head, since the last piece of a body: extensions of a chunk, trailer fields, line breaks between requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Process bytes in pieces no longer than a head; stop if the connection is closing.

        One read returns up to 256 KiB, and a head that is complete within it would not be measured. In pieces, a head that
        ends in its second piece passes, and no longer one.
        """
        for start in range(0, len(data), self.max_head_bytes):
            if self.transport.is_closing():
                return
            self._take(data[start : start + self.max_head_bytes])

    def _take(self, data: bytes) -> None:
        self._idle_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        self.after_piece()
        # uvicorn stops its idle timer at any byte, even at line breaks that begin no request.
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            self._await_head()
        self._head_bytes += len(data) if self._in_head else 0
        if max(self._head_bytes, self._idle_bytes) > self.max_head_bytes:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Note that a head has begun; refuse it if too many requests wait (the parser answers 400)."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _TooManyPipelined
        self._in_head, self._head_bytes, self._idle_bytes = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of a head; drop a trailer field, which no application here reads (RFC 9110 section 6.5.1).

        The parser gives both to this function. Five bytes of a field take more than a hundred in memory.
        """
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that the head is complete: from here on the application has its own limits."""
        self._in_head, self._head_bytes, self._idle_bytes = False, 0, 0
        _cancel(self._head_timer)
        self._head_timer = None
        waits = self.cycle is not None and not self.cycle.response_complete
        self.start_exchange()
        if self.parser.should_upgrade():
            # The parser takes what follows such a head for another protocol, and gives no body. Bytes of a body that come
            # later would be the next request.
            self.cycle.keep_alive = False
        if not waits:  # pipelined requests must not prolong the time for this answer
            self._limit_answer()

    def on_body(self, body: bytes) -> None:
        """Give the application a piece of a body."""
        self._idle_bytes = 0
        self.take_body(body)

    def take_body(self, body: bytes) -> None:
        """Give a piece of a body to the application."""
        super().on_body(body)

    def start_exchange(self) -> None:
        """Begin the exchange of a complete head: a task with the application."""
        super().on_headers_complete()

    def after_piece(self) -> None:
        """Do what is due after each piece of bytes; here nothing."""

    def on_response_complete(self) -> None:
        """Restart the timer, for the next answer or for the rest of this one.

        The timer runs on after the last byte was given to the transport, because a slow reader can hold the connection
        there. A connection without a request is closed much earlier by its idle timer.
        """
        self._limit_answer()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timer for a peer that does not read."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the peer reads again."""
        _cancel(self._stall_timer)
        self._stall_timer = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        _cancel(self._head_timer)
        self._head_timer = None
        _cancel(self._stall_timer)
        self._stall_timer = None
        _cancel(self._answer_timer)
        self._answer_timer = None
        super().connection_lost(exc)

    def _limit_answer(self) -> None:
        """Give the answer its time. The timer stays where it is and looks again later: to move it costs more than a short answer."""
        self._answer_until = self.loop.time() + ANSWER_SECONDS
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_at(self._answer_until, self._end_answer)

    def _end_answer(self) -> None:
        if self.loop.time() < self._answer_until:
            self._answer_timer = self.loop.call_at(self._answer_until, self._end_answer)
        else:
            self._answer_timer = None
            self.transport.abort()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        self._head_timer = None
        self.transport.abort()


class LargeHeadProtocol(GuardedProtocol):
    """The same with a larger limit for heads: for sockets that only the door can reach."""

    max_head_bytes = MAX_LARGE_HEAD_BYTES


class SpellingProtocol(LargeHeadProtocol):
    """The same with names of response fields in the spelling of the RFCs, for clients that know no other (libest).

    uvicorn writes all names in lower case, which have the same meaning (RFC 9110 section 5.1).
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Spell what is written from now on."""
        super().connection_made(cast("asyncio.Transport", _SpellingTransport(transport)))


class _SpellingTransport:
    """A transport that changes the names of fields in heads of responses, each of which is one write."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Write; a head begins with the HTTP version, and our bodies never do."""
        if data.startswith(b"HTTP/1.1 "):
            head, end, body = data.partition(b"\r\n\r\n")
            data = _FIELD_NAME.sub(lambda found: _spell(found[0]), head) + end + body
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


_FIELD_NAME = re.compile(rb"(?<=\r\n)[a-z0-9-]+(?=:)")
_SPELLINGS = {b"www-authenticate": b"WWW-Authenticate"}


def _spell(name: bytes) -> bytes:
    return _SPELLINGS.get(name) or name.title()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
