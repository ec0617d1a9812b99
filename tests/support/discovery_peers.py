"""Both ends of the stream that configures Envoy, for tests: a plain stream of the server, and a client of HTTP/2.

Not here: the product's own stream (gateway.publishing.discovery.stream).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings

from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.call import METHOD
from doorward.gateway.publishing.discovery.frames import MessageReader, render_message
from doorward.gateway.publishing.discovery.messages import DiscoveryRequest, PackedResource

PATIENCE_SECONDS = 30.0


class PlainStream:
    """A stream that answers each subscription with what it has, and remembers each request.

    Args:
        api: writes responses.
        resources: what there is at first.
    """

    def __init__(self, api: EnvoyApi, resources: Sequence[PackedResource] = ()) -> None:
        self._api = api
        self.requests: list[DiscoveryRequest] = []
        self.closed = False
        self._resources = {(one.type_url, one.name): one for one in resources}
        self._wanted: set[tuple[str, str]] = set()
        self._sent: dict[tuple[str, str], str] = {}
        self._answers: list[bytes] = []
        self._count = 0
        self._changed = threading.Condition()

    def receive(self, request: DiscoveryRequest) -> None:
        """Remember a request; answer a subscription."""
        with self._changed:
            self.requests.append(request)
            first = not any(one.type_url == request.type_url for one in self.requests[:-1])
            self._sent |= {(request.type_url, name): version for name, version in request.versions.items()}
            wildcard = ("*",) if first and not request.subscribe else ()
            self._wanted |= {(request.type_url, name) for name in (*request.subscribe, *wildcard)}
            before = len(self._answers)
            self._answer()
            if (
                wildcard and len(self._answers) == before
            ):  # Envoy waits until it is told that there is nothing
                self._answers.append(
                    self._api.render_response(type_url=request.type_url, nonce="0", resource=None)
                )
            self._changed.notify_all()

    def put(self, *resources: PackedResource) -> None:
        """Change or add resources."""
        with self._changed:
            self._resources |= {(one.type_url, one.name): one for one in resources}
            self._answer()
            self._changed.notify_all()

    def send(self, data: bytes) -> None:
        """Send any response."""
        with self._changed:
            self._answers.append(data)
            self._changed.notify_all()

    def next_response(self) -> bytes | None:
        """Wait for a response."""
        with self._changed:
            self._changed.wait_for(lambda: self._answers or self.closed)
            return None if self.closed else self._answers.pop(0)

    def close(self) -> None:
        """End the stream."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def heard(
        self, count: int = 1, *, nonce: bool | None = None, seconds: float = PATIENCE_SECONDS
    ) -> list[DiscoveryRequest]:
        """Wait until so many requests have come; with `nonce` count those that answer a response, or those that do not."""

        def found() -> list[DiscoveryRequest]:
            return [one for one in self.requests if nonce is None or bool(one.nonce) is nonce]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, seconds), self.requests
            return found()

    def _answer(self) -> None:
        for (kind, name), one in self._resources.items():
            if {(kind, name), (kind, "*")} & self._wanted and self._sent.get((kind, name)) != one.version:
                self._sent[kind, name] = one.version
                self._count += 1
                nonce = f"{self._count}:{name}"
                self._answers.append(self._api.render_response(type_url=kind, nonce=nonce, resource=one))


@dataclass
class Heard:
    """What a client heard: messages, trailers by stream, streams that were reset, and how the connection ended."""

    messages: list[bytes] = field(default_factory=list, repr=False)
    fields: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    reset: list[int] = field(default_factory=list)
    goodbye: bool = False
    closed: bool = False

    def status(self, stream: int) -> int | None:
        """Return the status of gRPC that ended a call; None if none did."""
        text = self.fields.get(stream, {}).get(b"grpc-status")
        return None if text is None else int(text)


class DiscoveryClient:
    """A client of HTTP/2 on a connected socket; for one thread. It reads only while a method waits.

    Args:
        peer: connected.
        settings: of the client's own; a window is also that of the whole connection.
    """

    def __init__(self, peer: socket.socket, settings: dict[SettingCodes, int] | None = None) -> None:
        self.peer = peer
        self.heard = Heard()
        self.http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.http.local_settings = Settings(client=True, initial_values=settings or {})
        self.http.initiate_connection()
        if wide := (settings or {}).get(SettingCodes.INITIAL_WINDOW_SIZE):
            self.http.increment_flow_control_window(wide)
        self._readers: dict[int, MessageReader] = {}
        self.flush()

    def flush(self) -> None:
        """Write what HTTP/2 has to say."""
        self.peer.sendall(self.http.data_to_send())

    def call(self, path: bytes = METHOD, method: bytes = b"POST", *more: tuple[bytes, bytes]) -> int:
        """Begin a call; return the number of its stream."""
        stream = self.http.get_next_available_stream_id()
        head = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"doorward")]
        self.http.send_headers(
            stream, [*head, (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
        )
        self.flush()
        return stream

    def send(self, stream: int, message: bytes, *, prefix: bytes | None = None) -> None:
        """Send a message, or other octets in the place of its prefix."""
        data = render_message(message) if prefix is None else prefix + message
        while data:
            allowed = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if not allowed:
                assert self.step(), self.heard
                continue
            self.http.send_data(stream, data[:allowed])
            data = data[allowed:]
            self.flush()

    def step(self, seconds: float = PATIENCE_SECONDS, *, acknowledge: bool = True) -> bool:
        """Read once; return whether anything came."""
        self.peer.settimeout(seconds)
        try:
            data = self.peer.recv(1 << 16)
        except TimeoutError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.heard.closed = True
            return False
        for event in self.http.receive_data(data):
            self._note(event, acknowledge=acknowledge)
        with suppress(BrokenPipeError):  # the server has closed; what it wrote before can still be read
            self.flush()
        return True

    def wait(self, *, messages: int = 0, status: int | None = None, closed: bool = False) -> Heard:
        """Read until so many messages have come, a call has ended, or the connection."""
        while not (
            len(self.heard.messages) >= messages
            and (status is None or self.heard.status(status) is not None)
            and (not closed or self.heard.closed)
        ):
            if not self.step():
                assert self.heard.closed, self.heard
                assert closed, self.heard
                break
        return self.heard

    def _note(self, event: Event, *, acknowledge: bool) -> None:
        match event:
            case (
                ResponseReceived(stream_id=stream, headers=headers)
                | TrailersReceived(stream_id=stream, headers=headers)
            ):
                self.heard.fields.setdefault(stream or 0, {}).update(dict(headers or []))
            case DataReceived(stream_id=stream, data=data):
                if acknowledge:
                    self.http.acknowledge_received_data(event.flow_controlled_length or 0, stream or 0)
                reader = self._readers.setdefault(stream or 0, MessageReader(1 << 30))
                self.heard.messages += reader.feed(data or b"")
            case StreamReset(stream_id=stream):
                self.heard.reset.append(stream or 0)
            case ConnectionTerminated():
                self.heard.goodbye = True
