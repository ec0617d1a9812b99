"""OCSP responses of a world: by the answerer alone, and over HTTP through the listener's protocol without a socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from uvicorn import Config
from uvicorn.server import ServerState

from doorward.authority.status.ocsp_answering import OcspAnswerer
from doorward.stores.services import Services
from doorward.web.app import build_status_app
from doorward.web.ocsp import OcspSurface
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import UseCasePool

OCSP_TYPE = "application/ocsp-request"
_PATIENCE_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def answer_ocsp(services: Services, request: bytes, answerer: OcspAnswerer | None = None) -> bytes:
    """Return the response to one request, by a new answerer if none is given."""
    answerer = answerer or OcspAnswerer(services)
    (found,) = answerer.answer_unsigned([request])
    return found if isinstance(found, bytes) else answerer.sign_answers([found])[0]


def ocsp_request(
    leaf: bytes,
    issuer: bytes,
    *,
    nonce: bytes | None = None,
    algorithm: type[hashes.HashAlgorithm] = hashes.SHA1,
) -> bytes:
    """Return an OCSP request about a certificate; all in DER."""
    certificates = (x509.load_der_x509_certificate(one) for one in (leaf, issuer))
    builder = ocsp.OCSPRequestBuilder().add_certificate(*certificates, algorithm())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def ocsp(self) -> ocsp.OCSPResponse:
        """The response in the body."""
        assert self.headers["content-type"] == "application/ocsp-response"
        return ocsp.load_der_ocsp_response(self.content)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_reading = True
        self._closing = False

    def write(self, data: Any) -> None:
        """Keep bytes."""
        self.written += data

    def close(self) -> None:
        """Note the end."""
        self._closing = True

    abort = close

    def is_closing(self) -> bool:
        """Say whether the end was noted."""
        return self._closing

    def pause_reading(self) -> None:
        """Note that no bytes are wanted."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """Note that bytes are wanted."""
        self.is_reading = True


class Listener:
    """The status listener on an event loop that turns while a test waits."""

    def __init__(self, services: Services, pool: UseCasePool, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.state = ServerState()
        self.config = Config(build_status_app(services, pool), log_config=None, lifespan="off")
        self.surface = OcspSurface(services, pool)

    def connect(self) -> Peer:
        """Open a connection."""
        protocol = OcspProtocol(
            self.surface, config=self.config, server_state=self.state, app_state={}, _loop=self.loop
        )
        peer = Peer(self, protocol)
        self.loop.call_soon(protocol.connection_made, peer.wire)
        self.turn()
        return peer

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop turn a few times, and for some seconds."""

        async def turns() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            if seconds:
                await asyncio.sleep(seconds)

        self.loop.run_until_complete(turns())

    def ask(self, first: str, body: bytes = b"", **fields: str) -> Answer:
        """Send one request on a new connection, and return its answer.

        Args:
            first: method and target.
            body: of the request.
            fields: header fields, with `_` for `-`.
        """
        peer = self.connect()
        peer.send(render(first, body, **fields))
        (answer,) = peer.answers(1)
        peer.leave()
        return answer

    def post(self, request: bytes) -> ocsp.OCSPResponse:
        """POST an OCSP request."""
        answer = self.ask("POST /ocsp", request, content_type=OCSP_TYPE)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        return answer.ocsp


class Peer:
    """A client of the listener."""

    def __init__(self, listener: Listener, protocol: OcspProtocol) -> None:
        self.wire = Wire()
        self.protocol = protocol
        self._listener = listener

    def send(self, data: bytes) -> None:
        """Send bytes, which arrive in one read."""

        async def once() -> None:
            if not self.wire.is_closing():
                self.protocol.data_received(data)

        self._listener.loop.run_until_complete(once())

    def answers(self, count: int, *, method: str = "GET") -> list[Answer]:
        """Wait for this many answers, and take them."""
        loop = self._listener.loop
        end = loop.time() + _PATIENCE_SECONDS
        while len(found := _parse(bytes(self.wire.written), method)) < count:
            assert loop.time() < end, bytes(self.wire.written)
            self._listener.turn(0.001)
        assert len(found) == count
        self.wire.written.clear()
        return found

    def leave(self) -> None:
        """Close the connection."""
        self._listener.loop.call_soon(self.protocol.connection_lost, None)
        self._listener.turn()


@contextmanager
def listening(services: Services, pool: UseCasePool) -> Iterator[Listener]:
    """Yield a listener with a loop of its own."""
    loop = asyncio.new_event_loop()
    listener = Listener(services, pool, loop)
    try:
        yield listener
        listener.turn()
    finally:
        loop.close()


def render(first: str, body: bytes = b"", **fields: str) -> bytes:
    """Return a request; one with a body has its Content-Length, unless the fields say otherwise."""
    if body and "transfer_encoding" not in fields:
        fields = {"content_length": str(len(body)), **fields}
    lines = [f"{first} HTTP/1.1", "Host: pki.test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _parse(data: bytes, method: str) -> list[Answer]:
    """Return the complete answers at the beginning of the bytes."""
    found = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split(b" ")[1])
        length = _LENGTH.search(head + b"\r\n")
        size = int(length.group(1)) if length and method != "HEAD" and status >= 200 else 0
        if len(rest) < size:
            break
        pairs = (line.decode("latin-1").partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        found.append(Answer(status, headers, rest[:size]))
        data = rest[size:]
    return found
