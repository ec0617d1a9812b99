"""The loop of the authorizer's server: reads calls from all connections, has them answered together, writes the answers.

Each turn:
1. wait for sockets, and before that, while several calls come at a time, a moment more (pacing);
2. take the answers that came from other threads;
3. read all connections that are ready, and gather the calls that are whole; accept new ones;
4. have the calls of this turn answered, all at once (`Answerer`);
5. write all answers, with one send for each connection.
So the more calls wait, the more are answered together; an idle machine answers at once.

A failure ends one call or one connection. It never ends the loop: without it no connection opens.

Not here: the socket's place, and which process may connect (server); HTTP/2 (http2); gRPC (unary).
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from doorward.core.errors import MalformedInput
from doorward.core.ports import Clock
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.gateway.access_log.counting import LogLimiter
from doorward.gateway.authorizer.anonymous import is_whole
from doorward.gateway.authorizer.calls import Answerer, Call, CheckResult
from doorward.gateway.authorizer.http2.connection import ServerConnection
from doorward.gateway.authorizer.http2.frames import ErrorCode
from doorward.gateway.authorizer.http2.header_blocks import FieldMemo
from doorward.gateway.authorizer.http2.streams import Request
from doorward.gateway.authorizer.pacing import TurnPacer
from doorward.gateway.authorizer.peer import READ_BYTES, Peer, PeerGone
from doorward.gateway.authorizer.reading import read_certificate
from doorward.gateway.authorizer.rendering import REFUSAL, render_answer
from doorward.gateway.authorizer.unary import (
    HEAD,
    TRAILERS,
    CallRefused,
    read_message,
    read_timeout,
    render_body,
    render_refusal,
)
from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.wakeup import Wakeup

METHOD = "/envoy.service.auth.v3.Authorization/Check"

CONNECTIONS = 64
"""At once. Each Envoy has one for each of its threads, and a further one for each thousand calls."""
PENDING = 4_096
"""Calls that are not answered yet; a further one is refused at once. Calls that Envoy took back count until their result
is there: otherwise a peer that opens and resets streams could have any number judged (CVE-2023-44487)."""
CALL_SECONDS = 10.0
"""For a call that does not say how long it waits, and at most; Envoy says 5 s."""

_CHANGING = frozenset({AuthorizerMetadata.CONNECTION.value, AuthorizerMetadata.REMOTE.value})
"""Metadata with another value in each call."""

_TICK_SECONDS = 0.5
_AGAIN_SECONDS = 0.2
_ACCEPTED = 16

_log = structlog.get_logger("doorward.authorizer")


class _Reply:
    """Takes the result of one call, from any thread; a second one is ignored."""

    __slots__ = ("_loop", "peer", "stream", "until")

    def __init__(self, loop: AuthorizerLoop, peer: Peer, stream: int, until: float) -> None:
        self._loop = loop
        self.peer = peer
        self.stream = stream
        self.until = until

    def __call__(self, result: CheckResult) -> None:
        self._loop.take(self, result)


class AuthorizerLoop:
    """The loop; `run` it in a thread of its own.

    Args:
        listener: listens, and does not block; the loop closes it.
        answerer: answers the calls.
        clock: for deadlines.
        admits: the process at the other end of a connected socket; None if it must not ask.
        closed: called once, when nothing listens any more.
    """

    def __init__(
        self,
        listener: socket.socket,
        answerer: Answerer,
        *,
        clock: Clock,
        admits: Callable[[socket.socket], int | None],
        closed: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._closed = closed
        self._selector = selectors.DefaultSelector()
        self._answerer = answerer
        self._clock = clock
        self._admits = admits
        self._log_limiter = LogLimiter(clock)
        self._memo = FieldMemo(changing=_CHANGING)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._peers: dict[int, Peer] = {}
        self._waiting: dict[_Reply, None] = {}
        self._results: deque[tuple[_Reply, CheckResult]] = deque()
        self._touched: dict[Peer, None] = {}
        self._wakeup = Wakeup()
        self._is_woken = False
        self._ident = 0
        self._grace: float | None = None
        self._end_by: float | None = None
        self._tick_at = 0.0
        self._accept_again: float | None = None
        self._now = 0.0
        self._pacer = TurnPacer()

    # From other threads.

    def stop(self, grace_seconds: float) -> None:
        """Begin to end."""
        self._grace = grace_seconds
        self._wakeup.set()

    def take(self, reply: _Reply, result: CheckResult) -> None:
        """Take a result, and wake the loop if it may wait."""
        self._results.append((reply, result))
        if not self._is_woken and threading.get_ident() != self._ident:
            self._is_woken = True
            self._wakeup.set()

    # The loop.

    def run(self) -> None:
        """Serve until `stop`, whatever happens."""
        self._ident = threading.get_ident()
        with self._selector as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wakeup.descriptor, selectors.EVENT_READ)
            while not self._is_over():
                try:
                    self._turn()
                except Exception:  # noqa: BLE001  the next turn is made: without this thread no connection opens
                    self._note_failure("the authorizer's loop failed")
                    threading.Event().wait(_TICK_SECONDS / 10)
            for peer in list(self._peers.values()):
                self._close(peer)
        self._wakeup.close()

    def _is_over(self) -> bool:
        return self._end_by is not None and (not self._peers or self._clock.monotonic() >= self._end_by)

    def _turn(self) -> None:
        pause = self._pacer.pause(self._clock.monotonic())
        if pause:
            time.sleep(pause)
        events = self._selector.select(self._timeout())
        self._now = self._clock.monotonic()
        if self._grace is not None and self._end_by is None:
            self._end_by = self._now + self._grace
            self._leave()
        if any(key.fd == self._wakeup.descriptor for key, _ in events):
            self._wakeup.clear()  # before the results are taken: one that comes later wakes again
        self._deliver()
        calls: list[Call] = []
        for key, mask in events:
            if key.data is not None:
                self._serve(key.data, mask, calls)
        if self._end_by is None and any(key.fileobj is self._listener for key, _ in events):
            self._accept()  # last: a connection that ended made room
        if calls:
            self._flush()
            self._answer(calls)
            self._deliver()
            self._pacer.note(len(calls), self._now, self._clock.monotonic())
        self._flush()
        if self._now >= self._tick_at:
            self._tick_at = self._now + _TICK_SECONDS
            self._tick()

    def _timeout(self) -> float | None:
        """Return how long the loop may wait: for ever only while no deadline runs."""
        if self._waiting or self._end_by is not None or self._accept_again is not None:
            return _TICK_SECONDS / 5
        return None if all(peer.is_quiet for peer in self._peers.values()) else _TICK_SECONDS

    # 3. Connections and calls.

    def _accept(self) -> None:
        for _ in range(_ACCEPTED):
            try:
                connected, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of descriptors, or the peer has gone
                self._note_failure("the authorizer cannot accept", error=error.strerror)
                self._selector.unregister(self._listener)
                self._accept_again = self._now + _AGAIN_SECONDS
                return
            try:
                self._welcome(connected)
            except Exception:  # noqa: BLE001  the next connection is accepted
                connected.close()
                self._note_failure("the authorizer cannot accept")

    def _welcome(self, connected: socket.socket) -> None:
        if len(self._peers) >= CONNECTIONS:
            connected.close()
            self._note_failure("the authorizer has too many connections", most=CONNECTIONS)
            return
        pid = self._admits(connected)
        if pid is None:
            connected.close()
            return
        connected.setblocking(False)  # noqa: FBT003  the argument has no name
        peer = Peer(connected, ServerConnection(self._memo, self._now), pid)
        self._selector.register(connected, selectors.EVENT_READ, peer)
        peer.events = selectors.EVENT_READ
        self._peers[connected.fileno()] = peer
        self._touched[peer] = None

    def _serve(self, peer: Peer, mask: int, calls: list[Call]) -> None:
        """Read from a peer; a failure ends this connection, and only this one."""
        self._touched[peer] = None
        if not mask & selectors.EVENT_READ:
            return
        try:
            for request in peer.read(self._buffer, self._now):
                call = self._read(peer, request)
                if call is not None:
                    calls.append(call)
        except PeerGone:
            self._close(peer)
        except Exception:  # noqa: BLE001  ends this connection, and only this one
            self._note_failure("a connection to the authorizer failed", pid=peer.pid)
            peer.connection.fail(ErrorCode.INTERNAL_ERROR, "an error of ours")

    def _read(self, peer: Peer, request: Request) -> Call | None:
        """Return the call that a request is; otherwise answer it."""
        try:
            message = read_message(request, METHOD)
            seconds = read_timeout(request.fields.timeout)
            certificate = read_certificate(message)
        except CallRefused as refused:
            peer.connection.refuse(request.stream, refused.block)
            return None
        except MalformedInput:
            peer.connection.refuse(request.stream, render_refusal(GrpcStatus.INTERNAL))
            return None
        if len(self._waiting) >= PENDING:
            peer.connection.refuse(request.stream, render_refusal(GrpcStatus.RESOURCE_EXHAUSTED))
            return None
        until = self._now + (CALL_SECONDS if seconds is None else min(seconds, CALL_SECONDS))
        reply = _Reply(self, peer, request.stream, until)
        self._waiting[reply] = None
        return Call(certificate, request.fields.metadata, reply, self._now, until)

    # 2., 4. and 5. Answers.

    def _answer(self, calls: list[Call]) -> None:
        try:
            self._answerer.answer_all(calls)
        except Exception:  # noqa: BLE001  fail closed: the calls of this turn get an error
            self._note_failure("the authorizer failed; the connections are refused")
            self._deliver()
            for call in calls:
                if isinstance(call.reply, _Reply) and call.reply in self._waiting:
                    self._refuse(call.reply, GrpcStatus.INTERNAL)

    def _deliver(self) -> None:
        """Give the results that are there to their connections."""
        self._is_woken = False
        for _ in range(len(self._results)):
            reply, result = self._results.popleft()
            if reply not in self._waiting:
                continue
            del self._waiting[reply]
            reply.peer.connection.respond(reply.stream, HEAD, render_body(self._render(result)), TRAILERS)
            self._touched[reply.peer] = None

    def _render(self, result: CheckResult) -> bytes:
        """Return the message for Envoy: an answer that lacks a fact is a refusal."""
        if result.facts is None or not is_whole(result.facts):
            return REFUSAL
        if result.rendered is not None:
            return result.rendered
        try:
            return render_answer(result.facts)
        except UnicodeEncodeError:
            self._note_failure("a fact cannot be rendered; the connection is refused")
            return REFUSAL

    def _refuse(self, reply: _Reply, status: GrpcStatus) -> None:
        del self._waiting[reply]
        reply.peer.connection.refuse(reply.stream, render_refusal(status))
        self._touched[reply.peer] = None

    def _flush(self) -> None:
        touched, self._touched = self._touched, {}
        for peer in touched:
            try:
                self._write(peer)
            except PeerGone:
                self._close(peer)
            except Exception:  # noqa: BLE001  ends this connection, and only this one
                self._note_failure("a connection to the authorizer failed", pid=peer.pid)
                self._close(peer)

    def _write(self, peer: Peer) -> None:
        if peer.connected.fileno() < 0:
            return
        peer.write(self._now)
        if peer.is_over:
            self._close(peer)
            return
        wanted = (selectors.EVENT_READ if peer.wants_input else 0) | (
            selectors.EVENT_WRITE if peer.wants_output else 0
        )
        if wanted != peer.events:
            self._selector.modify(peer.connected, wanted, peer)
            peer.events = wanted

    # Deadlines and ends.

    def _tick(self) -> None:
        """End what takes too long."""
        if self._accept_again is not None and self._now >= self._accept_again and self._end_by is None:
            self._accept_again = None
            self._selector.register(self._listener, selectors.EVENT_READ)
        for reply in [one for one in self._waiting if self._now >= one.until]:
            self._refuse(reply, GrpcStatus.DEADLINE_EXCEEDED)
        for peer in self._peers.values():
            if not peer.is_quiet:
                peer.connection.expire(self._now)
                self._touched[peer] = None
        self._flush()

    def _leave(self) -> None:
        """Accept nothing more, and let each connection end with its last answer."""
        if self._accept_again is None:
            self._selector.unregister(self._listener)
        self._listener.close()
        self._closed()
        for peer in self._peers.values():
            peer.connection.leave()
            self._touched[peer] = None

    def _close(self, peer: Peer) -> None:
        if self._peers.pop(peer.connected.fileno(), None) is not None:
            self._selector.unregister(peer.connected)
            peer.connected.close()
        peer.connection.fail(ErrorCode.NO_ERROR, "the socket is closed")

    def _note_failure(self, what: str, **details: object) -> None:
        """Log it a few times a minute, with the exception that is being handled if there is one."""
        if self._log_limiter.allows(what):
            _log.error(what, exc_info=sys.exc_info()[0] is not None, **details)
