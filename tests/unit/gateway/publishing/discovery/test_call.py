"""HTTP/2 and gRPC without a socket: one call is served within its limits, everything else is refused."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamReset, TrailersReceived
from h2.settings import SettingCodes

from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.publishing.discovery.call import METHOD, DiscoveryCall
from doorward.gateway.publishing.discovery.frames import MESSAGE_BYTES, MessageReader, render_message

_MOST = 1 << 18


class _Pair:
    """A client; its octets go straight into the call, and back."""

    def __init__(self) -> None:
        self.call = DiscoveryCall()
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.messages: list[bytes] = []
        self.fields: dict[int, dict[bytes, bytes]] = {}
        self.reset: list[int] = []
        self.received: list[bytes] = []
        self.reader = MessageReader(1 << 30)

    def exchange(self, *, acknowledge: bool = True) -> None:
        """Carry octets both ways until neither has any."""
        while (there := self.client.data_to_send()) or (back := self.call.output(_MOST)):
            if there:
                self.received += self.call.receive(there)
                continue
            for event in self.client.receive_data(back):
                self._note(event, acknowledge=acknowledge)

    def begin(self, path: bytes = METHOD, method: bytes = b"POST", *more: tuple[bytes, bytes]) -> int:
        stream = self.client.get_next_available_stream_id()
        head = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), *more]
        self.client.send_headers(stream, head)
        return stream

    def _note(self, event: Event, *, acknowledge: bool) -> None:
        match event:
            case ResponseReceived(stream_id=int(number), headers=headers):
                self.fields.setdefault(number, {}).update(dict(headers or []))
            case TrailersReceived(stream_id=int(number), headers=headers):
                self.fields.setdefault(number, {}).update(dict(headers or []))
            case DataReceived(stream_id=int(number), data=data):
                self.messages += self.reader.feed(data or b"")
                if acknowledge:
                    self.client.acknowledge_received_data(event.flow_controlled_length or 0, number)
            case StreamReset(stream_id=int(number)):
                self.reset.append(number)

    def status(self, stream: int) -> int:
        return int(self.fields[stream][b"grpc-status"])


@pytest.fixture
def pair() -> _Pair:
    """A call that nothing was said in."""
    return _Pair()


def test_messages_go_both_ways(pair: _Pair) -> None:
    """Requests come out whole and in order, and responses arrive whole."""
    stream = pair.begin()
    pair.client.send_data(stream, render_message(b"one") + render_message(b"two")[:4])
    pair.client.send_data(stream, render_message(b"two")[4:])
    pair.exchange()
    assert pair.received == [b"one", b"two"]
    assert pair.fields[stream] == {b":status": b"200", b"content-type": b"application/grpc"}
    pair.call.send(b"answer")
    assert pair.call.sending
    pair.exchange()
    assert pair.messages == [b"answer"]
    assert not pair.call.sending


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", b"POST"),
        (b"/", b"POST"),
        (METHOD + b"/", b"POST"),
        (METHOD, b"GET"),
    ],
)
def test_another_method_is_not_implemented(pair: _Pair, path: bytes, method: bytes) -> None:
    """It gets the status 12, and the connection still serves the right one."""
    wrong = pair.begin(path, method)
    right = pair.begin()
    pair.client.send_data(wrong, render_message(b"not read"))
    pair.client.send_data(right, render_message(b"read"))
    pair.exchange()
    assert pair.status(wrong) == GrpcStatus.UNIMPLEMENTED
    assert pair.received == [b"read"]
    assert pair.call.is_open


def test_a_second_call_is_refused(pair: _Pair) -> None:
    """It gets the status 8, and the first one goes on."""
    first, second = pair.begin(), pair.begin()
    pair.exchange()
    assert pair.status(second) == GrpcStatus.RESOURCE_EXHAUSTED
    pair.client.send_data(first, render_message(b"still here"))
    pair.exchange()
    assert pair.received == [b"still here"]


def test_calls_without_end_end_the_connection(pair: _Pair) -> None:
    """After sixteen refused calls, the next one ends everything."""
    first = pair.begin()
    pair.exchange()
    while pair.call.end is None:
        pair.begin()
        pair.exchange()
        assert len(pair.fields) < 20
    assert pair.call.end.status is GrpcStatus.RESOURCE_EXHAUSTED
    assert pair.status(first) == GrpcStatus.RESOURCE_EXHAUSTED


def test_streams_without_end_end_the_connection(pair: _Pair) -> None:
    """A client that opens more streams at once than it may is cut off."""
    for _ in range(5):
        pair.begin()
    pair.call.receive(pair.client.data_to_send())
    assert pair.call.end is not None
    assert not pair.call.end.orderly


def test_a_message_that_is_too_large_ends_the_call(pair: _Pair) -> None:
    """By its length, before its content."""
    stream = pair.begin()
    pair.client.send_data(stream, b"\0" + (MESSAGE_BYTES + 1).to_bytes(4))
    pair.exchange()
    assert pair.status(stream) == GrpcStatus.RESOURCE_EXHAUSTED
    assert pair.call.end is not None


def test_a_compressed_message_ends_the_call(pair: _Pair) -> None:
    """With the status 3."""
    stream = pair.begin()
    pair.client.send_data(stream, b"\1" + render_message(b"x")[1:])
    pair.exchange()
    assert pair.status(stream) == GrpcStatus.INVALID_ARGUMENT


def test_headers_without_end_end_the_connection(pair: _Pair) -> None:
    """More than 16 kB of header fields are not kept."""
    pair.begin(METHOD, b"POST", *((b"x-%d" % number, b"v" * 1000) for number in range(20)))
    pair.call.receive(pair.client.data_to_send())
    assert pair.call.end is not None
    assert not pair.call.is_open


def test_a_frame_that_is_too_large_ends_the_connection(pair: _Pair) -> None:
    """Frames have 16 kB at most."""
    pair.begin()
    pair.exchange()
    assert pair.call.receive((1 << 15).to_bytes(3) + b"\0\0" + (1).to_bytes(4) + bytes(1 << 15)) == []
    assert pair.call.end is not None


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(64), b"\xff" * 64])
def test_what_is_not_http_2_ends_the_connection(pair: _Pair, noise: bytes) -> None:
    """Without an exception, and with nothing read."""
    assert pair.call.receive(noise) == []
    assert pair.call.end is not None
    assert not pair.call.end.orderly
    assert pair.call.receive(noise) == []


def test_a_response_waits_for_flow_control(pair: _Pair) -> None:
    """What the client does not allow is not sent, and the rest follows when it does."""
    pair.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    stream = pair.begin()
    pair.exchange()
    message = bytes(range(256)) * 400
    pair.call.send(message)
    pair.exchange(acknowledge=False)
    assert pair.reader.buffered == 1000
    assert pair.call.sending
    pair.client.increment_flow_control_window(1 << 20, stream)
    pair.client.increment_flow_control_window(1 << 20)
    pair.exchange()
    assert pair.messages == [message]


def test_a_large_response_is_given_out_in_parts(pair: _Pair) -> None:
    """However large the response and the client's windows are, about as much comes out as was asked for."""
    pair.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
    pair.client.increment_flow_control_window((1 << 31) - 1 - (1 << 16))
    pair.begin()
    pair.exchange()
    pair.call.send(bytes(7 << 20))
    assert _MOST <= len(pair.call.output(_MOST)) < _MOST + (1 << 15)
    assert pair.call.sending


def test_the_end_tells_its_status_in_the_middle_of_a_message(pair: _Pair) -> None:
    """The rest of the message is not sent; the status and a GOAWAY are."""
    stream = pair.begin()
    pair.exchange()
    pair.call.send(bytes(1 << 20))
    pair.exchange(acknowledge=False)
    pair.call.finish(GrpcStatus.UNAVAILABLE, "the gateway stops", orderly=True)
    pair.call.finish(GrpcStatus.OK, "a second end changes nothing")
    pair.exchange()
    assert pair.status(stream) == GrpcStatus.UNAVAILABLE
    assert pair.fields[stream][b"grpc-message"] == b"the gateway stops"
    assert pair.messages == []
    assert not pair.call.sending


def test_the_client_may_end_the_call(pair: _Pair) -> None:
    """By its half of the stream, by a reset, or by a GOAWAY; each is an orderly end."""
    stream = pair.begin()
    pair.client.end_stream(stream)
    pair.exchange()
    assert pair.status(stream) == GrpcStatus.OK
    for end in ("reset_stream", "close_connection"):
        other = _Pair()
        number = other.begin()
        other.client.send_data(number, render_message(b"last"))
        getattr(other.client, end)(*([number] if end == "reset_stream" else []))
        assert other.call.receive(other.client.data_to_send()) == [b"last"]
        assert other.call.end is not None
        assert other.call.end.orderly, end
