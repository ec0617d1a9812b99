"""Clients that flood a door, in processes of their own: hellos of one address, handshakes of a thousand.

    python -m tests.support.flooding hellos PORT SECONDS
    python -m tests.support.flooding handshakes PORT SECONDS HOST
    python -m tests.support.flooding begun PORT SECONDS HOST
    python -m tests.support.flooding paced PORT SECONDS HOST RATE
`begun` are handshakes that go no further than the door's answer, as many as the door answers; `paced` are as many of them a
second as RATE says, from a thousand addresses, whatever the door answers. Each prints how many it made.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.certificates.issuing import EVERY_EXTENSION, around_now, certify

ROOT = Path(__file__).parents[2]
ADDRESSES = 1000
AT_ONCE = 64
HELD_SECONDS, MOST_HELD = 1.0, 8_000
"""How long a handshake that goes no further is held, and how many at most: a process may open 20,000 files or so."""

WAIT_SECONDS = 5.0


def hello(host: str) -> bytes:
    """Return the first message of a handshake with that server name."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host).do_handshake()
    return outgoing.read()


def say_hello(port: int, message: bytes, source: str = "127.0.0.1") -> None:
    """Say hello and wait until the door closes; return what the door sent."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), WAIT_SECONDS, (source, 0)) as plain:
        plain.sendall(message)
        plain.recv(1)


def say_hellos(port: int, message: bytes, number: int) -> None:
    """Say that many hellos at the same time, and wait until the door has closed all of them."""
    opened = []
    for _ in range(number):
        plain = socket.socket()
        plain.settimeout(0)
        plain.connect_ex(("127.0.0.1", port))  # loopback: it is there at once, or refused
        opened.append(plain)
    for plain in opened:
        with suppress(OSError):
            plain.send(message)
    for plain in opened:
        with suppress(OSError):
            plain.settimeout(WAIT_SECONDS)
            plain.recv(1)
        plain.close()


def pace_hellos(port: int, message: bytes, rate: float, seconds: float) -> int:
    """Begin so many handshakes a second, each from another address, and give each up after a while; return how many."""
    held: deque[tuple[float, socket.socket]] = deque()
    made, began = 0, time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        while made < (now - began) * rate:
            plain = socket.socket()
            plain.settimeout(0)
            with suppress(OSError):
                plain.bind((address(made % ADDRESSES), 0))
                plain.connect_ex(("127.0.0.1", port))
                plain.send(message)
            held.append((now, plain))
            made += 1
        while held and (held[0][0] < now - HELD_SECONDS or len(held) > MOST_HELD):
            held.popleft()[1].close()
        time.sleep(0.005)
    for _, plain in held:
        plain.close()
    return made


def self_made(folder: Path, name: str) -> Path:
    """Write a certificate that vouches for itself, with its key; return the file."""
    made = certify(name, drop=EVERY_EXTENSION, **around_now())
    file = folder / f"{name}.pem"
    file.write_bytes(made.key_pem + made.pem)
    return file


def shake_hands(port: int, host: str, context: ssl.SSLContext, source: str) -> None:
    """Shake hands with a certificate and wait for what the door says to it."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS, (source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        while secure.recv(65536):  # what is left unread would be a reset, and that another line
            pass


def client_context(file: Path) -> ssl.SSLContext:
    """Return a context with that certificate, which accepts any certificate of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(file)
    return context


def address(number: int) -> str:
    """Return one of a thousand addresses of this machine."""
    return f"127.{1 + number // 250}.0.{1 + number % 250}"


@contextmanager
def flooding(kind: str, port: int, seconds: float, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Run a flooder beside the block; wait for its end if the block has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.flooding", kind, str(port), str(seconds), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.wait(seconds + 30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def made_by(process: subprocess.Popen[str]) -> int:
    """Return how many connections a flooder that has ended made."""
    assert process.stdout is not None
    with process.stdout:
        return int(process.stdout.read())


def _main(kind: str, port: int, seconds: float, *more: str) -> int:
    made = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        message = hello(more[0] if kind in {"begun", "paced"} else "nobody.test")
        contexts = []
        if kind == "handshakes":
            contexts = [client_context(self_made(folder, f"c{one}")) for one in range(ADDRESSES)]
        print("ready", flush=True)
        if kind == "paced":
            return pace_hellos(port, message, float(more[1]), seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if kind != "handshakes":
                say_hellos(port, message, AT_ONCE)
                made += AT_ONCE
            else:
                number = made % ADDRESSES
                shake_hands(port, more[0], contexts[number], address(number))
                made += 1
    return made


if __name__ == "__main__":
    print(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
