"""People at the door who write down what they get and when, each in a thread of its own until it is stopped.

One uses a connection again and again, one listens to an open WebSocket, one makes new connections, one opens its
connection again if it ends. Times are seconds of the machine's clock (`time.time`), so that they compare with `ChangeRecord.at`.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.doorway import Doorway, Identity, eventually
from tests.support.tcp import GREETING, read_exactly

PAUSE_SECONDS = 0.002
WORD = b"are you there?"
_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A  # first bytes of WebSocket frames, RFC 6455 section 5.2
_UPGRADE = (
    "GET /live HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that was asked of the door: when, when the last byte of the answer arrived, and what it was."""

    began: float
    arrived: float
    status: int
    path: str


class Watcher:
    """The thread; `good` is what came through, `ended` when the connection ended (0 while it lives).

    A path that ends with a slash gets a number for each request, so that each can be found in the record.
    """

    def __init__(self, door: Doorway, identity: Identity, *, app: str = "app", path: str = "/x") -> None:
        self.door = door
        self.path = path
        self.app = app
        self.context = door.context(identity)
        self.good: list[Sighting] = []
        self._numbers = itertools.count()
        self.ended = 0.0
        self.why = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    def is_well(self, count: int = 3) -> bool:
        """Whether so many things came through, and the connection lives."""
        return len(self.good) >= count and not self.ended

    def last_after(self, moment: float) -> float:
        """Return how many seconds after a moment the last thing came through, or the end was seen; 0 if before."""
        last = max([self.ended, *(one.arrived for one in self.good[-5:])])
        return max(0.0, last - moment)

    def longest_gap(self) -> float:
        """Return the longest time between two things, seconds."""
        times = [one.arrived for one in self.good]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def _run(self) -> None:
        try:
            self._watch()
        except (OSError, http.client.HTTPException, ssl.SSLError) as error:
            self.why = f"{type(error).__name__}: {error}"
        except EOFError:
            self.why = "closed"
        if not self._stop.is_set():
            self.ended = time.time()

    def _watch(self) -> None:
        raise NotImplementedError

    def _next_path(self) -> str:
        return f"{self.path}{next(self._numbers)}" if self.path.endswith("/") else self.path

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.door.port), 10)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.context.wrap_socket(plain, server_hostname=self.door.host(self.app))
        except BaseException:
            plain.close()
            raise


class LiveRequests(Watcher):
    """One kept connection, a request after the other; anything but 200 ends it."""

    def _watch(self) -> None:
        with self._connect() as secure:
            connection = http.client.HTTPConnection(self.door.host(self.app), self.door.port)
            connection.sock = secure
            connection.auto_open = 0  # never a second connection, without TLS
            while not self._stop.is_set():
                began, path = time.time(), self._next_path()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise http.client.HTTPException(f"status {answer.status}")
                self.good.append(Sighting(began, time.time(), answer.status, path))
                if answer.will_close:
                    raise EOFError
                self._stop.wait(PAUSE_SECONDS)


class LiveStream(Watcher):
    """One open WebSocket on which the application counts; a number left out ends it."""

    def _watch(self) -> None:
        with self._connect() as secure, secure.makefile("rb") as stream:
            secure.sendall(_UPGRADE.format(host=self.door.host(self.app)).encode())
            status = stream.readline()
            if b" 101 " not in status:
                raise http.client.HTTPException(status.decode("latin-1").strip())
            while stream.readline().strip():
                pass
            expected = 0
            while not self._stop.is_set():
                head = stream.read(2)
                if len(head) < 2:
                    raise EOFError
                payload = stream.read(head[1] & 0x7F)
                if head[0] == _PING:  # who does not answer is closed by the application
                    secure.sendall(bytes([_PONG, 0x80 | len(payload)]) + bytes(4) + payload)
                    continue
                if head[0] != _TEXT:
                    raise http.client.HTTPException(f"frame {head.hex()}")
                tick = int(payload)
                if tick != expected:
                    raise http.client.HTTPException(f"tick {tick} came instead of {expected}")
                expected += 1
                now = time.time()
                self.good.append(Sighting(now, now, 101, self.path))


class LiveBytes(Watcher):
    """One open connection of TCP: some bytes and their echo, again and again."""

    def _watch(self) -> None:
        with self._connect() as secure:
            self._exchange(secure, GREETING)
            while not self._stop.is_set():
                began = time.time()
                self._exchange(secure, b"")
                self.good.append(Sighting(began, time.time(), 200, self.path))
                self._stop.wait(PAUSE_SECONDS)

    def _exchange(self, secure: ssl.SSLSocket, before: bytes) -> None:
        """Say something; read what the server says first, and the echo."""
        secure.sendall(WORD)
        wanted = before + WORD
        if read_exactly(secure, len(wanted)) != wanted:
            raise EOFError


class NewConnections(Watcher):
    """A new connection for each request; those that were refused are counted, and go on being tried."""

    def __init__(
        self,
        door: Doorway,
        identity: Identity,
        *,
        app: str = "app",
        path: str = "/x",
        pause: float = PAUSE_SECONDS,
    ) -> None:
        super().__init__(door, identity, app=app, path=path)
        self.refused: list[Sighting] = []
        self.odd: list[Sighting] = []
        self._pause = pause

    def longest_wait(self) -> float:
        """Return how long the slowest of the admitted ones took from its first byte to its last, seconds."""
        return max((one.arrived - one.began for one in self.good), default=0.0)

    def _watch(self) -> None:
        while not self._stop.is_set():
            began, path = time.time(), self._next_path()
            status = 0
            try:
                status = self._ask_once(path)
            except (OSError, http.client.HTTPException) as error:
                self.why = f"{type(error).__name__}: {error}, after {time.time() - began:.3f} s"
            kept = {0: self.refused, 200: self.good}.get(status, self.odd)
            kept.append(Sighting(began, time.time(), status, path))
            self._stop.wait(self._pause)

    def _ask_once(self, path: str) -> int:
        with self._connect() as secure:
            connection = http.client.HTTPConnection(self.door.host(self.app), self.door.port)
            connection.sock = secure
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return answer.status


class KeptRequests(NewConnections):
    """Requests on one connection; if it ends, on another one."""

    _kept: http.client.HTTPConnection | None = None

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        super().__exit__(_type, _value, _trace)
        self._close()

    def _ask_once(self, path: str) -> int:
        try:
            if self._kept is None:
                secure = self._connect()
                self._kept = http.client.HTTPConnection(self.door.host(self.app), self.door.port)
                self._kept.sock = secure
                self._kept.auto_open = 0  # never a second connection, without TLS
            self._kept.request("GET", path)
            answer = self._kept.getresponse()
            answer.read()
        except BaseException:
            self._close()
            raise
        if answer.will_close:
            self._close()
        return answer.status

    def _close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class NewBytes(NewConnections):
    """The same of TCP."""

    def _ask_once(self, path: str) -> int:
        with self._connect() as secure:
            secure.sendall(WORD)
            wanted = GREETING + WORD
            came = read_exactly(secure, len(wanted))
            if came != wanted and wanted.startswith(came):
                raise ConnectionError(f"closed after {len(came)} bytes")
            return 200 if came == wanted else 1


@contextlib.contextmanager
def watching(*watchers: Watcher) -> Iterator[None]:
    """Let them all watch, and wait until each of them got something."""
    with contextlib.ExitStack() as stack:
        for one in watchers:
            stack.enter_context(one)
        for one in watchers:
            assert eventually(one.is_well), f"{type(one).__name__}: {one.why}"
        yield
