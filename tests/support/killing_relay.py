"""A TCP relay before a server that ends a process at the n-th connection: of a client that opens one for each request.

    with killing_relay(server_port) as relay:
        relay.arm(at=3, moment=Moment.ANSWERED, kill=lambda: os.kill(pid, SIGKILL))
        ...
        relay.happened      # whether there was a third connection

At `ASKED` the server has not got the request; at `ANSWERED` it has worked on it, and the client never gets the answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

_LEAST_REQUEST_BYTES = 120
"""In TLS: after the ClientHello a client sends its Finished, of some 80 bytes, and then the request."""

_WORK_SECONDS = 0.3
"""How long the server has for its answer before the process is ended."""


class Moment(Enum):
    """When the process is ended."""

    ASKED = "asked"
    ANSWERED = "answered"


@dataclass
class KillingRelay:
    """A relay; `port` is where it listens, `connections` how many there were since it was armed."""

    server: int
    listener: socket.socket
    connections: int = 0
    happened: bool = False
    _at: int = 0
    _moment: Moment = Moment.ASKED
    _kill: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    def arm(self, *, at: int, moment: Moment, kill: Callable[[], None]) -> None:
        """End a process at the `at`-th connection from now on."""
        with self._lock:
            self._at, self._moment, self._kill = at, moment, kill
            self.connections, self.happened = 0, False

    def run(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                is_meant = self.connections == self._at
            threading.Thread(
                target=self._relay, args=(client,), kwargs={"is_meant": is_meant}, daemon=True
            ).start()

    def _end(self) -> None:
        self._kill()
        self.happened = True

    def _relay(self, client: socket.socket, *, is_meant: bool) -> None:
        if is_meant and self._moment is Moment.ASKED:
            self._end()
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.server), 10) as server:
            held = threading.Event()
            held.set()
            back = threading.Thread(target=_pump, args=(server, client, held), daemon=True)
            back.start()
            began = False
            while data := client.recv(65536):
                is_request = began and len(data) >= _LEAST_REQUEST_BYTES
                began = True
                if is_request and is_meant and self._moment is Moment.ANSWERED and not self.happened:
                    held.clear()
                    server.sendall(data)
                    time.sleep(_WORK_SECONDS)
                    self._end()
                    held.set()
                    continue
                server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join(10)


def _pump(source: socket.socket, target: socket.socket, held: threading.Event) -> None:
    """Pass on what comes, but not while it is held."""
    with suppress(OSError):
        while data := source.recv(65536):
            held.wait()
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def killing_relay(server: int) -> Iterator[KillingRelay]:
    """Run a relay to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = KillingRelay(server=server, listener=listener)
        threading.Thread(target=relay.run, daemon=True).start()
        yield relay
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
