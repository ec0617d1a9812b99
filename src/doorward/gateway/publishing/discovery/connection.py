"""One connection of an Envoy: the socket, its two threads and its deadlines.

One thread owns the socket and the state of HTTP/2, and waits for nothing but the socket: it reads, gives each request
to the `DiscoveryStream`, and writes what may be written. The other one waits for the stream's next response, hands it
over, and waits until it was taken. So a peer that does not read holds these two threads and one response, and nothing
else of the gateway. No lock is held while a thread waits for the peer.

Not here: HTTP/2 (call), who may connect (server), what is answered (cache).
"""

from __future__ import annotations

import queue
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from doorward.core.errors import MalformedInput
from doorward.core.ports import Clock
from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.publishing.discovery.call import CallEnd, DiscoveryCall
from doorward.gateway.publishing.discovery.messages import DiscoveryRequest
from doorward.gateway.wakeup import Wakeup

_READ_BYTES = 1 << 16
_WRITE_BYTES = 1 << 18
"""While so much waits for the socket, nothing more is made and nothing is read: otherwise a peer that does not read
its answers to PING could fill the memory."""
_LONGEST_WAIT_SECONDS = 1.0

_log = structlog.get_logger("doorward.discovery")


class DiscoveryStream(Protocol):
    """The subscriptions of one Envoy, and what it is answered; used by both threads of its connection."""

    def receive(self, request: DiscoveryRequest) -> None:
        """Take a request; it must not wait for long.

        Raises:
            MalformedInput: the stream must be ended.
        """
        ...

    def next_response(self) -> bytes | None:
        """Wait for the next response and return it serialized; None after `close`."""
        ...

    def close(self) -> None:
        """End the stream: `next_response` returns None, also one that waits. A second call does nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDeadlines:
    """How long a peer may keep us waiting.

    Args:
        first_request_seconds: from the connection to its first whole request.
        send_seconds: for one response, until the kernel has taken its last octet. Envoy's main
            thread reads, and it reads nothing while it builds filter chains: about 10 s for a thousand.
        end_seconds: for what is left to write at the end of the connection.
    """

    first_request_seconds: float = 10.0
    send_seconds: float = 150.0
    end_seconds: float = 1.0


class DiscoveryConnection:
    """Serves one connection until it ends; `start`, then `stop` and `join`.

    Args:
        peer: the accepted socket; the connection closes it.
        stream: of this connection alone; the connection closes it.
        pid: the process at the other end, for the log.
        parse: reads a request; raises `MalformedInput`.
        clock: for the deadlines.
        deadlines: how long the peer may keep us waiting.
        ended: called once, by a thread of the connection, after the stream and the socket were closed.
    """

    def __init__(
        self,
        peer: socket.socket,
        stream: DiscoveryStream,
        *,
        pid: int,
        parse: Callable[[bytes], DiscoveryRequest],
        clock: Clock,
        deadlines: ConnectionDeadlines | None = None,
        ended: Callable[[DiscoveryConnection], None] | None = None,
    ) -> None:
        peer.settimeout(0)
        self._peer = peer
        self._stream = stream
        self._pid = pid
        self._parse = parse
        self._clock = clock
        self._deadlines = deadlines or ConnectionDeadlines()
        self._ended = ended
        self._call = DiscoveryCall()
        self._output = memoryview(b"")
        self._first_by: float | None = clock.monotonic() + self._deadlines.first_request_seconds
        self._sent_by: float | None = None
        self._responses: queue.Queue[bytes | None] = queue.Queue(1)
        self._over = threading.Event()
        self._stop = threading.Event()
        self._wakeup = Wakeup()
        self._threads = [
            threading.Thread(target=self._serve, name="discovery", daemon=True),
            threading.Thread(target=self._hand_over, name="discovery-responses", daemon=True),
        ]

    def start(self) -> None:
        """Serve the connection in threads of its own."""
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """Begin to end the connection: its call gets the status UNAVAILABLE. This does not wait; see `join`."""
        self._stop.set()
        self._wakeup.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end at most so many seconds; return whether it has come."""
        until = self._clock.monotonic() + seconds
        for one in self._threads:
            one.join(max(0.0, until - self._clock.monotonic()))
        return not any(one.is_alive() for one in self._threads)

    # The thread that waits for the stream.

    def _hand_over(self) -> None:
        response: bytes | None = b""
        while response is not None and not self._over.is_set():
            try:
                response = self._stream.next_response()
            except Exception:  # noqa: BLE001  ends this stream, and only this one
                _log.exception("discovery-stream-failed", pid=self._pid)
                response = None
            if not self._over.is_set():
                self._responses.put(response)  # waits until the one before was taken
                self._wakeup.set()

    # The thread that owns the socket.

    def _serve(self) -> None:
        try:
            while self._call.end is None:
                self._step()
            self._write_rest()
        except OSError as error:
            gone = isinstance(error, ConnectionError)  # the peer was killed, or left something unread
            why = f"the socket failed: {error.strerror}"
            self._call.end = self._call.end or CallEnd(status=None, why=why, orderly=gone)
        except Exception:  # noqa: BLE001  ends this connection, and only this one
            _log.exception("discovery-connection-failed", pid=self._pid)
        finally:
            self._close()

    def _step(self) -> None:
        if self._stop.is_set():
            self._call.finish(GrpcStatus.UNAVAILABLE, "the gateway stops", orderly=True)
            return
        self._take_response()
        self._write()
        self._check_deadlines()
        if self._call.end is None and self._wait():
            self._read()

    def _take_response(self) -> None:
        if not self._is_idle():
            return  # each response has a deadline of its own
        with suppress(queue.Empty):
            response = self._responses.get_nowait()
            if response is None:
                self._call.finish(GrpcStatus.UNAVAILABLE, "the gateway ends this stream", orderly=True)
            else:
                self._call.send(response)

    def _is_idle(self) -> bool:
        return self._call.is_open and not self._call.sending and not self._output

    def _write(self) -> None:
        """Write what the socket takes now."""
        while True:
            if not self._output:
                self._output = memoryview(self._call.output(_WRITE_BYTES))
                if not self._output:
                    break
            try:
                written = self._peer.send(self._output)
            except BlockingIOError:
                break
            self._output = self._output[written:]
        if not self._output and not self._call.sending:
            self._sent_by = None
        elif self._sent_by is None:
            self._sent_by = self._clock.monotonic() + self._deadlines.send_seconds

    def _check_deadlines(self) -> None:
        now = self._clock.monotonic()
        if self._first_by is not None and now >= self._first_by:
            self._call.finish(GrpcStatus.UNAVAILABLE, "no request arrived in time")
        elif self._sent_by is not None and now >= self._sent_by:
            self._call.finish(GrpcStatus.UNAVAILABLE, "the peer does not read")

    def _wait(self) -> bool:
        """Wait until there is something to do; return whether the socket can be read."""
        poll = select.poll()
        poll.register(self._wakeup.descriptor, select.POLLIN)
        wanted = select.POLLOUT if self._output else select.POLLIN
        poll.register(self._peer, wanted)
        seconds: float | None = None
        if self._is_idle() and not self._responses.empty():
            seconds = 0.0  # it came while the one before was sent
        elif limits := [one for one in (self._first_by, self._sent_by) if one is not None]:
            seconds = min(_LONGEST_WAIT_SECONDS, max(0.0, min(limits) - self._clock.monotonic()))
        ready = dict(poll.poll(None if seconds is None else seconds * 1000))
        self._wakeup.clear()
        return bool(ready.get(self._peer.fileno(), 0) & ~select.POLLOUT)

    def _read(self) -> None:
        try:
            data = self._peer.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._call.end = CallEnd(status=None, why="the peer closed the connection", orderly=True)
            return
        for message in self._call.receive(data):
            self._first_by = None
            try:
                self._stream.receive(self._parse(message))
            except MalformedInput as error:
                self._call.finish(GrpcStatus.INVALID_ARGUMENT, error.code)
                return

    def _write_rest(self) -> None:
        """Write the status of the call and what stands before it, as far as the peer reads in time."""
        poll = select.poll()
        poll.register(self._peer, select.POLLOUT)
        while self._output or (rest := self._call.output(0)):
            self._output = self._output or memoryview(rest)
            try:
                self._output = self._output[self._peer.send(self._output) :]
            except BlockingIOError:
                if not poll.poll(self._deadlines.end_seconds * 1000):
                    return

    def _close(self) -> None:
        end = self._call.end or CallEnd(status=None, why="an error of ours")
        self._over.set()
        self._stream.close()
        with suppress(queue.Empty):  # the other thread may wait until its response is taken
            self._responses.get_nowait()
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        self._peer.close()
        self._wakeup.close()
        if end.orderly:
            _log.info("discovery-stream-ended", pid=self._pid, why=end.why)
        else:
            _log.warning("discovery-stream-broken", pid=self._pid, why=end.why)
        if self._ended is not None:
            self._ended(self)
