"""Servers of tests: they run for as long as a block, on a free port of loopback or on a unix socket."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def accepting(serve: Callable[[socket.socket], None], path: Path | None = None) -> Iterator[int]:
    """Serve each connection in a thread of its own; give the port, 0 with a path.

    Args:
        serve: what is done with a connection; it is closed afterwards, and an error of it ends it.
        path: of a unix socket, in the place of a port.
    """
    listener = socket.socket(socket.AF_UNIX) if path else socket.create_server(("127.0.0.1", 0), backlog=256)
    if path:
        listener.bind(str(path))
        listener.listen(256)

    def answer(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            serve(peer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield 0 if path else int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Run a server of the standard library."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
