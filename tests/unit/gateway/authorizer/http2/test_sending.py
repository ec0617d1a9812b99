"""Flow control: a response goes as far as the peer's windows allow, and on when they allow more."""

from __future__ import annotations

import pytest

from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.http2.frames import (
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    PAYLOAD_BYTES,
    ErrorCode,
    FrameType,
    Setting,
    render_settings,
)
from tests.support.http2_client import HEAD, TRAILERS, Frame, begun, data, reset, window_update

DATA, HEADERS = FrameType.DATA, FrameType.HEADERS


def body_of(frames: list[Frame]) -> bytes:
    """The octets of the response."""
    return b"".join(one.payload for one in frames if one.kind == DATA)


def is_whole(frames: list[Frame]) -> bool:
    """Whether the response ends."""
    return bool(frames) and (frames[-1].kind, frames[-1].flags) == (HEADERS, END_HEADERS | END_STREAM)


def test_a_response_that_fits() -> None:
    """Three frames."""
    client = begun()
    client.send(client.call(1))
    frames = client.answer(1, b"answer")
    assert [(one.kind, one.flags, one.payload) for one in frames] == [
        (HEADERS, END_HEADERS, HEAD),
        (DATA, 0, b"answer"),
        (HEADERS, END_HEADERS | END_STREAM, TRAILERS),
    ]
    assert client.answer(1) == []


@pytest.mark.parametrize("size", [PAYLOAD_BYTES, PAYLOAD_BYTES + 1, FIRST_WINDOW])
def test_one_that_is_larger_than_a_frame(size: int) -> None:
    """It is divided."""
    client = begun()
    client.send(client.call(1))
    frames = client.answer(1, b"x" * size)
    assert body_of(frames) == b"x" * size
    assert is_whole(frames)
    assert all(len(one.payload) <= PAYLOAD_BYTES for one in frames)


def test_one_that_is_larger_than_the_window() -> None:
    """It goes on with each WINDOW_UPDATE of the stream and of the connection."""
    client = begun()
    client.send(client.call(1))
    frames = client.answer(1, bytes(range(256)) * 400)
    assert len(body_of(frames)) == FIRST_WINDOW
    assert client.send(window_update(1, 100_000)) == []
    frames += client.send(window_update(0, 1000))
    assert len(body_of(frames)) == FIRST_WINDOW + 1000
    assert client.answer(1) == []
    client.connection.refuse(1, HEAD)
    frames += client.send(window_update(0, 100_000))
    assert body_of(frames) == bytes(range(256)) * 400
    assert is_whole(frames)


def test_the_connections_window_is_shared() -> None:
    """What one response used is not there for the next one."""
    client = begun({Setting.INITIAL_WINDOW_SIZE: 1 << 20})
    client.send(client.call(1), client.call(3))
    assert is_whole(client.answer(1, b"x" * (FIRST_WINDOW - 5)))
    assert body_of(client.answer(3, b"answer")) == b"answe"


def test_small_responses_use_up_the_window_too() -> None:
    """Each by its size."""
    client = begun({Setting.INITIAL_WINDOW_SIZE: 1 << 20})
    for number in range(1, 10, 2):
        client.send(client.call(number))
        assert is_whole(client.answer(number, b"x" * (FIRST_WINDOW // 5)))
    client.send(client.call(11))
    assert body_of(client.answer(11, b"answer")) == b""
    assert body_of(client.send(window_update(0, 6))) == b"answer"


@pytest.mark.parametrize("lower", [0, 3])
def test_the_initial_window_may_change(lower: int) -> None:
    """For all streams, also below what was used already (section 6.9.2)."""
    client = begun({Setting.INITIAL_WINDOW_SIZE: 5})
    client.send(client.call(1), client.call(3))
    assert body_of(client.answer(1, b"0123456789")) == b"01234"
    client.send(render_settings({Setting.INITIAL_WINDOW_SIZE: lower}))
    assert body_of(client.answer(3, b"abcdef")) == b"abcdef"[:lower]
    frames = client.send(window_update(1, 5 - lower), window_update(3, 1))
    assert body_of(frames) == b"abcdef"[lower : lower + 1]
    frames = client.send(render_settings({Setting.INITIAL_WINDOW_SIZE: 20}))
    assert body_of(frames) == b"56789" + b"abcdef"[lower + 1 :]


def test_many_settings_cost_no_work_for_each_stream() -> None:
    """The window of a stream is relative to the setting."""
    client = begun()
    for number in range(1, 1001, 2):
        client.send(client.call(number))
    for size in range(2000):
        client.send(render_settings({Setting.INITIAL_WINDOW_SIZE: size}))
    assert body_of(client.answer(1, b"x" * 3000)) == b"x" * 1999


def test_one_that_the_peer_does_not_take() -> None:
    """It has a deadline."""
    client = begun({Setting.INITIAL_WINDOW_SIZE: 3})
    client.send(client.call(1))
    client.answer(1)
    client.connection.expire(limits.SEND_SECONDS - 1)
    assert client.heard() == []
    client.connection.expire(limits.SEND_SECONDS)
    assert [(one.kind, one.code) for one in client.heard()] == [(FrameType.RST_STREAM, ErrorCode.CANCEL)]
    assert client.send(window_update(1, 10)) == []


def test_one_that_is_taken_back() -> None:
    """Nothing more is sent of it."""
    client = begun({Setting.INITIAL_WINDOW_SIZE: 3})
    client.send(client.call(1))
    client.answer(1)
    assert client.send(reset(1), window_update(0, 10)) == []


def test_what_the_peer_may_send_is_given_back() -> None:
    """Its window does not wait for whole requests, and ends with a request's stream."""
    client = begun()
    client.send(client.headers(1))
    part = b"x" * 16_000
    given = 0
    for _ in range(20):
        for frame in client.send(data(1, part)):
            assert (frame.kind, frame.stream) == (FrameType.WINDOW_UPDATE, 0)
            given += int.from_bytes(frame.payload)
    assert given == 0
    for number in (3, 5):
        client.send(client.headers(number))
        for _ in range(16):
            given += sum(int.from_bytes(one.payload) for one in client.send(data(number, part)))
    assert given >= limits.CONNECTION_WINDOW // 2


def test_more_than_a_streams_window() -> None:
    """It ends the stream."""
    client = begun()
    client.send(client.headers(1))
    frames: list[Frame] = []
    while not frames:
        frames = [one for one in client.send(data(1, b"x" * 16_000)) if one.kind != FrameType.WINDOW_UPDATE]
    assert frames[0].code is ErrorCode.FLOW_CONTROL_ERROR
    assert not client.connection.is_over


def test_more_than_the_connections_window() -> None:
    """It ends the connection: all in one read, before anything was given back."""
    client = begun()
    frames = client.send(client.headers(1), data(1, b"x" * 16_000) * 70)
    assert (frames[-1].kind, frames[-1].code) == (FrameType.GOAWAY, ErrorCode.FLOW_CONTROL_ERROR)
