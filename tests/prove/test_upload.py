"""An upload over a slow line: HTTP/2's windows let it run, as HTTP/1.1 does (docs/design/0040)."""

from __future__ import annotations

import collections
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.commands import run_program
from tests.support.compiled_door import CompiledDoor, standing_door
from tests.support.door_site import allow, id_of
from tests.support.envoy_process import facts_of

ONE_WAY_SECONDS = 0.02
MEGABYTES = 30
MOST_SECONDS = 9.0
"""Ten times what it takes; with windows of 64 KiB it was 20 s."""

APPS = {"pay": (allow("everything", "tellers"),)}


@contextmanager
def slow_line(port: int) -> Iterator[int]:
    """Pass connections on to a port, each byte later by half of 40 ms; gives the port of the near end."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                opened.extend((near, far))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in opened:
            one.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Read at once, write when the time of each piece has come."""
    pieces: collections.deque[tuple[float, bytes]] = collections.deque()
    changed = threading.Condition()

    def read() -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(262_144)
            except OSError:
                data = b""
            with changed:
                pieces.append((time.monotonic() + ONE_WAY_SECONDS, data))
                changed.notify()

    threading.Thread(target=read, daemon=True).start()
    with suppress(OSError):
        while True:
            with changed:
                changed.wait_for(lambda: bool(pieces))
                due, data = pieces.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def seconds_of(door: CompiledDoor, port: int, body: Path, version: str) -> float:
    """Upload a file with curl; return how long it took."""
    folder = door.site.folder
    command = ["curl", "-sS", version, "--cacert", folder / "root.pem", "--cert", folder / "p256.pem"]
    command += ["--key", folder / "p256.key", "--resolve", f"pay.test:{port}:127.0.0.1", "-H", "Expect:"]
    command += ["--data-binary", f"@{body}", "-o", "/dev/null", "-w", "%{http_code} %{time_total}"]
    command += [f"https://pay.test:{port}/upload"]
    done = run_program(command, check=True)
    status, seconds = done.stdout.split()
    assert status == "200"
    return float(seconds)


@pytest.mark.needs("curl")
def test_a_large_upload_is_not_held_up_by_windows(tmp_path: Path) -> None:
    """30 MB with 40 ms between question and answer: a window a round trip, and it is large enough."""
    body = tmp_path / "body"
    body.write_bytes(bytes(MEGABYTES * 1_000_000))
    with standing_door(tmp_path, APPS) as door, slow_line(door.site.port) as port:
        door.authorizer.facts = facts_of(id_of("pay", APPS["pay"][0]))
        old, new = (seconds_of(door, port, body, version) for version in ("--http1.1", "--http2"))
    print(f"HTTP/1.1 {old:.2f} s, HTTP/2 {new:.2f} s")
    assert new < MOST_SECONDS
