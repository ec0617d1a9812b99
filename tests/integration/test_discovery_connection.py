"""One connection of an Envoy over real sockets: large responses, silent peers, ends while something waits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from h2.settings import SettingCodes

from doorward.core.errors import MalformedInput
from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.connection import (
    ConnectionDeadlines,
    DiscoveryConnection,
    DiscoveryStream,
)
from doorward.gateway.publishing.discovery.messages import CLUSTER, DiscoveryRequest
from doorward.runtime.world import SystemClock
from tests.support.discovery import render_request
from tests.support.discovery_peers import PATIENCE_SECONDS, DiscoveryClient, PlainStream

SOON = ConnectionDeadlines(first_request_seconds=0.3, send_seconds=60.0, end_seconds=0.2)
"""For a peer that asks for nothing."""
STALLED = ConnectionDeadlines(first_request_seconds=60.0, send_seconds=0.3, end_seconds=0.2)
"""For a peer that takes nothing."""
WIDE = {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 28}
REQUEST = render_request(type_url=CLUSTER)
LISTENER_BYTES = 7 << 20
"""Of a listener with a thousand applications."""


@dataclass
class Served:
    """A connection, its stream, and the socket of its peer."""

    peer: socket.socket
    connection: DiscoveryConnection
    stream: PlainStream
    ends: list[DiscoveryConnection] = field(default_factory=list)

    def begin(self, settings: dict[SettingCodes, int] | None = None) -> tuple[DiscoveryClient, int]:
        """Return a client that made its first request, and the number of its call."""
        client = DiscoveryClient(self.peer, settings)
        call = client.call()
        client.send(call, REQUEST)
        self.stream.heard()
        return client, call

    def is_over(self) -> bool:
        """Wait for the end; return whether everything was closed, once."""
        return (
            self.connection.join(PATIENCE_SECONDS) and self.stream.closed and self.ends == [self.connection]
        )


def serve(stream: PlainStream | None = None, deadlines: ConnectionDeadlines | None = None) -> Served:
    """Serve one end of a pair of sockets."""
    ours, theirs = socket.socketpair()
    used = stream or PlainStream(load_api())
    ends: list[DiscoveryConnection] = []
    connection = DiscoveryConnection(
        ours,
        used,
        pid=1,
        parse=load_api().parse_request,
        clock=SystemClock(),
        deadlines=deadlines,
        ended=ends.append,
    )
    connection.start()
    return Served(theirs, connection, used, ends)


@pytest.fixture
def served() -> Iterator[Served]:
    """A connection that waits for its peer."""
    one = serve()
    yield one
    one.peer.close()
    assert one.is_over()


def test_a_request_arrives_and_is_answered(served: Served) -> None:
    """The stream gets it as a value, and its response reaches the client whole."""
    client, _ = served.begin()
    assert served.stream.requests == [DiscoveryRequest(type_url=CLUSTER)]
    served.stream.send(b"answer")
    assert client.wait(messages=2).messages[1] == b"answer"


def test_a_large_request_arrives(served: Served) -> None:
    """An Envoy that connects again names each resource that it has; a thousand applications have some 3,000."""
    client = DiscoveryClient(served.peer)
    call = client.call()
    versions = {f"application-{number:05}-certificate": "a" * 24 for number in range(3000)}
    client.send(call, render_request(type_url=CLUSTER, initial_resource_versions=versions))
    assert dict(served.stream.heard()[0].versions) == versions


@pytest.mark.parametrize("settings", [{}, WIDE], ids=["small window", "wide window"])
def test_a_large_response_arrives(served: Served, settings: dict[SettingCodes, int]) -> None:
    """The listener of a thousand applications has 7 MB; also with HTTP/2's smallest windows it arrives whole."""
    client, _ = served.begin(settings)
    large = bytes(range(256)) * (LISTENER_BYTES >> 8)
    served.stream.send(large)
    served.stream.send(b"next")
    heard = client.wait(messages=3)
    assert heard.messages[1:] == [large, b"next"]


def test_requests_are_read_while_a_response_waits_for_its_window(served: Served) -> None:
    """A client that allows nothing more now can still say something: its answers are no hostage of its window."""
    client, call = served.begin()
    served.stream.send(bytes(LISTENER_BYTES))
    while client.step(0.2, acknowledge=False):
        pass
    client.send(call, render_request(type_url=CLUSTER, resource_names_subscribe=["more"]))
    assert served.stream.heard(2)[1].subscribe == ("more",)


def test_a_peer_that_does_not_read_is_cut_off() -> None:
    """After the deadline, with its stream closed; meanwhile another connection is served."""
    slow, other = serve(deadlines=STALLED), serve()
    slow.begin(WIDE)
    slow.stream.send(bytes(LISTENER_BYTES))
    client, _ = other.begin()
    other.stream.send(b"answer")
    assert client.wait(messages=2).messages[1] == b"answer"
    assert slow.is_over()
    for one in (slow, other):
        one.peer.close()


def test_a_peer_that_never_opens_its_window_is_cut_off() -> None:
    """It reads, but allows nothing more: the deadline counts until the response is out."""
    one = serve(deadlines=replace(STALLED, end_seconds=60.0))
    client, call = one.begin()
    one.stream.send(bytes(LISTENER_BYTES))
    while not client.heard.closed:
        client.step(acknowledge=False)
    assert one.is_over()
    assert client.heard.status(call) == GrpcStatus.UNAVAILABLE
    one.peer.close()


@pytest.mark.parametrize("said", ["nothing", "a connection", "a call", "half a message"])
def test_a_peer_that_asks_for_nothing_is_cut_off(said: str) -> None:
    """However far it comes before its first whole request."""
    one = serve(deadlines=SOON)
    if said != "nothing":
        client = DiscoveryClient(one.peer)
        if said != "a connection":
            call = client.call()
        if said == "half a message":
            client.send(call, b"abc", prefix=b"\0\0\0\1\0")
    assert one.is_over()
    assert one.stream.requests == []
    one.peer.close()


def test_a_quiet_envoy_stays(served: Served) -> None:
    """After its first request a connection has no deadline: nothing changes for days."""
    one = serve(deadlines=replace(SOON, first_request_seconds=3.0))
    client, _ = one.begin()
    client.wait(messages=1)
    assert not one.connection.join(4.0)
    one.stream.send(b"later")
    assert client.wait(messages=2).messages[1] == b"later"
    one.peer.close()
    assert one.is_over()


def test_our_stop_ends_the_call_with_a_status(served: Served) -> None:
    """UNAVAILABLE, a GOAWAY and the end: Envoy connects again."""
    client, call = served.begin()
    served.connection.stop()
    heard = client.wait(closed=True)
    assert heard.status(call) == GrpcStatus.UNAVAILABLE
    assert heard.goodbye
    assert served.is_over()


@pytest.mark.parametrize("window", [{}, WIDE], ids=["waits for its window", "does not read"])
def test_our_stop_ends_a_connection_that_is_blocked(window: dict[SettingCodes, int]) -> None:
    """In the middle of a response that does not move, with another one behind it."""
    one = serve()
    one.begin(window)
    for _ in range(3):
        one.stream.send(bytes(LISTENER_BYTES))
    time.sleep(0.3)  # until the socket is full; if it is not, the test is weaker
    one.connection.stop()
    assert one.is_over()
    one.peer.close()


def test_the_stream_may_end_itself(served: Served) -> None:
    """The connection follows."""
    client, call = served.begin()
    served.stream.close()
    assert client.wait(closed=True).status(call) == GrpcStatus.UNAVAILABLE
    assert served.is_over()


def test_a_peer_that_goes_ends_the_connection() -> None:
    """Also in the middle of a response; nothing is left behind."""
    one = serve()
    one.begin(WIDE)
    one.stream.send(bytes(LISTENER_BYTES))
    one.peer.close()
    assert one.is_over()


@pytest.mark.parametrize("sent", [b"\xff\xff\xff", b"\x0a\x05abc"])
def test_a_request_that_cannot_be_read_ends_the_call(served: Served, sent: bytes) -> None:
    """With the status INVALID_ARGUMENT, and the stream never sees it."""
    client = DiscoveryClient(served.peer)
    call = client.call()
    client.send(call, sent)
    assert client.wait(closed=True).status(call) == GrpcStatus.INVALID_ARGUMENT
    assert served.stream.requests == []


class _Refusing(PlainStream):
    """Finds every request impossible."""

    error: Exception = MalformedInput("discovery-request-malformed", "no")

    def receive(self, request: DiscoveryRequest) -> None:
        super().receive(request)
        raise self.error


@pytest.mark.parametrize("error", [_Refusing.error, RuntimeError("a mistake of ours")])
def test_a_request_that_the_stream_refuses_ends_the_connection(error: Exception) -> None:
    """By any exception; and the connection's threads end."""
    stream = _Refusing(load_api())
    stream.error = error
    one = serve(stream)
    one.begin()
    assert one.is_over()
    one.peer.close()


class _Failing(PlainStream):
    """Cannot answer."""

    def next_response(self) -> bytes | None:
        raise RuntimeError("a mistake of ours")


def test_a_stream_that_fails_ends_the_connection() -> None:
    """Its Envoy connects again, instead of waiting for an answer that never comes."""
    one = serve(_Failing(load_api()))
    client = DiscoveryClient(one.peer)
    call = client.call()  # and no request: the end may come before it
    assert client.wait(closed=True).status(call) == GrpcStatus.UNAVAILABLE
    assert one.is_over()
    one.peer.close()


def test_pings_without_end_do_not_fill_the_memory(served: Served) -> None:
    """Each PING is answered; while a peer does not read the answers, nothing more is read of it."""
    client, _ = served.begin()
    client.wait(messages=1)
    served.peer.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError):
        while sent < 50_000_000:
            for _ in range(1000):
                client.http.ping(b"12345678")
            sent += served.peer.send(client.http.data_to_send())
    assert sent < 10_000_000


def test_ends_from_both_sides_at_once(served: Served) -> None:
    """Stops, closes and responses in many orders: each connection ends, and no thread stays."""
    for number in range(40):
        one = serve()
        one.begin(WIDE if number % 2 else None)
        send = partial(one.stream.send, bytes(1 << 22))
        acts = [one.connection.stop, one.stream.close, one.peer.close, send]
        threads = [threading.Thread(target=acts[(number + turn) % 4]) for turn in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.is_over(), number


def test_the_streams_protocol_is_met() -> None:
    """The stream of the tests is one."""
    stream: DiscoveryStream = PlainStream(load_api())
    stream.close()
    stream.close()
    assert stream.next_response() is None
