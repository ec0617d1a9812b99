"""One connected socket of the server: its octets in and out, and what a peer that does not read may hold.

Not here: which process may connect (server), HTTP/2 (http2).
"""

from __future__ import annotations

import socket

from doorward.gateway.authorizer.http2.connection import ServerConnection
from doorward.gateway.authorizer.http2.streams import Request

READ_BYTES = 1 << 18
READS = 4
"""In one turn of the loop, at most: 1 MiB has about 400 calls. So one peer cannot keep the others waiting."""
UNREAD_BYTES = 1 << 18
"""While the socket has not taken so much of our output, nothing more is read: each answer to a PING would add to it."""
MOST_UNREAD_BYTES = 1 << 24
"""A peer that lets more wait is closed; a thousand answers have that much."""
STALLED_SECONDS = 5.0
"""A peer that reads nothing for so long is closed, while output waits for it."""


class PeerGone(Exception):
    """The peer has closed its end, or does not read."""


class Peer:
    """One connected socket; of one thread.

    Args:
        connected: the socket; it must not block.
        connection: HTTP/2 on it.
        pid: of the process, for the log.
    """

    __slots__ = ("_output", "_stalled_by", "connected", "connection", "events", "pid")

    def __init__(self, connected: socket.socket, connection: ServerConnection, pid: int) -> None:
        self.connected = connected
        self.connection = connection
        self.pid = pid
        self.events = 0
        self._output = b""
        self._stalled_by: float | None = None

    def read(self, buffer: memoryview, now: float) -> list[Request]:
        """Read what is there, up to a limit; return the requests that are whole.

        Raises:
            PeerGone: it has closed its end; requests that were read with it need no answer.
        """
        requests: list[Request] = []
        for _ in range(READS):
            try:
                size = self.connected.recv_into(buffer)
            except BlockingIOError:
                break
            except OSError:
                raise PeerGone from None
            if not size:
                raise PeerGone
            requests += self.connection.receive(bytes(buffer[:size]), now)
            if size < len(buffer) or not self.wants_input:
                break
        if len(requests) > 1:  # a call may have been taken back by what was read after it
            requests = [one for one in requests if self.connection.has(one.stream)]
        return requests

    def write(self, now: float) -> None:
        """Write what the socket takes.

        Raises:
            PeerGone: it does not read, or has closed its end.
        """
        output = self._output
        if self.connection.has_output:
            new = self.connection.take_output()
            output = output + new if output else new
        if output:
            try:
                sent = self.connected.send(output)
            except BlockingIOError:
                sent = 0
            except OSError:
                raise PeerGone from None
            output = output[sent:]
            if sent or self._stalled_by is None:
                self._stalled_by = now + STALLED_SECONDS
            if len(output) > MOST_UNREAD_BYTES or now >= self._stalled_by:
                raise PeerGone
        if not output:
            self._stalled_by = None
        self._output = output

    @property
    def wants_input(self) -> bool:
        """Whether more may be read from it."""
        return len(self._output) < UNREAD_BYTES and not self.connection.is_over

    @property
    def wants_output(self) -> bool:
        """Whether octets wait for the socket."""
        return bool(self._output) or self.connection.has_output

    @property
    def is_over(self) -> bool:
        """Whether all is written, and nothing more will be."""
        return self.connection.is_over and not self.wants_output

    @property
    def is_quiet(self) -> bool:
        """Whether no deadline runs."""
        return not self._output and self.connection.is_idle
