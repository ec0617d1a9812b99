"""HTTP/2 of one connection: requests come out whole, and what breaks the standard ends a stream or the connection."""

from __future__ import annotations

import struct

import pytest

from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PADDED,
    PREFACE,
    PRIORITIZED,
    ErrorCode,
    FrameType,
    Setting,
    render_frame,
    render_settings,
)
from tests.support.http2_client import (
    FIELDS,
    Client,
    Frame,
    begun,
    data,
    goaway,
    reset,
    window_update,
)

HEADERS, DATA, SETTINGS, PING = FrameType.HEADERS, FrameType.DATA, FrameType.SETTINGS, FrameType.PING


def failed(frames: list[Frame], client: Client) -> ErrorCode:
    """The error with which the connection ended."""
    assert client.connection.is_over
    assert frames[-1].kind == FrameType.GOAWAY
    return frames[-1].code


def ended(frames: list[Frame], stream: int, client: Client) -> ErrorCode:
    """The error with which one stream ended, while the connection goes on."""
    assert not client.connection.is_over
    assert [(one.kind, one.stream) for one in frames] == [(FrameType.RST_STREAM, stream)]
    assert not client.connection.has(stream)
    return frames[0].code


class TestBegin:
    """The first octets."""

    def test_our_settings_are_first(self) -> None:
        """Before anything is heard; then the acknowledgement."""
        client = Client()
        first, second = client.heard()
        assert (first.kind, first.flags) == (SETTINGS, 0)
        announced = dict(struct.iter_unpack(">HI", first.payload))
        assert announced[Setting.HEADER_TABLE_SIZE] == 0
        assert announced[Setting.MAX_CONCURRENT_STREAMS] == limits.STREAMS
        assert second.kind == FrameType.WINDOW_UPDATE
        assert [(one.kind, one.flags) for one in client.begin()] == [(SETTINGS, ACK)]

    def test_octet_by_octet(self) -> None:
        """However the octets arrive, the request is the same."""
        client = Client()
        octets = PREFACE + render_settings({}) + client.call(1, b"body")
        for octet in octets:
            client.send(bytes((octet,)))
        assert [(one.stream, one.body, one.fields.path) for one in client.requests] == [(1, b"body", "/x")]

    @pytest.mark.parametrize("octets", [b"G", b"GET / HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x"])
    def test_another_protocol(self, octets: bytes) -> None:
        """It is known by its first octet that differs."""
        client = Client()
        assert failed(client.send(octets), client) is ErrorCode.PROTOCOL_ERROR

    @pytest.mark.parametrize(
        "frame", [render_frame(PING, 0, 0, b"8 octets"), render_frame(SETTINGS, ACK, 0), data(1)]
    )
    def test_the_first_frame_is_settings(self, frame: bytes) -> None:
        """Section 3.4."""
        client = Client()
        assert failed(client.send(PREFACE, frame), client) is ErrorCode.PROTOCOL_ERROR

    @pytest.mark.parametrize("octets", [b"", PREFACE[:9], PREFACE, PREFACE + render_settings({})[:5]])
    def test_one_that_does_not_begin(self, octets: bytes) -> None:
        """It has a deadline."""
        client = Client()
        client.send(octets)
        client.connection.expire(limits.BEGIN_SECONDS - 1)
        assert not client.connection.is_over
        client.connection.expire(limits.BEGIN_SECONDS)
        assert client.connection.is_over


class TestRequests:
    """What a request may be made of."""

    def test_body_and_trailers(self) -> None:
        """The body may come in parts, and trailers may end it."""
        client = begun()
        client.send(client.headers(1), data(1, b"a" * 600), data(1, b"b" * 600))
        assert not client.requests
        client.send(client.headers(1, (("end", "x"),), END_HEADERS | END_STREAM))
        assert client.requests[0].body == b"a" * 600 + b"b" * 600

    def test_padding_and_priority(self) -> None:
        """Both are taken off."""
        client = begun()
        block = client.encoder.encode(FIELDS)
        client.send(
            render_frame(
                HEADERS,
                END_HEADERS | PADDED | PRIORITIZED,
                1,
                b"\x03" + struct.pack(">IB", 0, 15) + block + b"\0\0\0",
            ),
            data(1, b"\x04body\0\0\0\0", PADDED | END_STREAM),
            render_frame(FrameType.PRIORITY, 0, 9, struct.pack(">IB", 3, 15)),
        )
        assert client.requests[0].body == b"body"

    def test_continuation(self) -> None:
        """A block may come in several frames."""
        client = begun()
        block = client.encoder.encode(FIELDS)
        client.send(
            render_frame(HEADERS, END_STREAM, 1, block[:5]),
            render_frame(FrameType.CONTINUATION, 0, 1, block[5:9]),
            render_frame(FrameType.CONTINUATION, END_HEADERS, 1, block[9:]),
        )
        assert client.requests[0].fields.path == "/x"

    def test_unknown_frames_are_ignored(self) -> None:
        """Section 5.5."""
        client = begun()
        assert client.send(render_frame(0xBE, 0xFF, 1, b"grease"), client.call(1)) == []  # type: ignore[arg-type]
        assert len(client.requests) == 1

    def test_one_that_is_too_large(self) -> None:
        """It is given out at once; after its answer the peer is told not to go on, and what comes still is ignored."""
        client = begun()
        client.send(client.headers(1))
        for _ in range(limits.BODY_BYTES // 16_000):
            assert all(one.kind == FrameType.WINDOW_UPDATE for one in client.send(data(1, b"x" * 16_000)))
        client.send(data(1, b"x" * 16_000))
        assert client.requests[0].is_too_large
        assert client.requests[0].body == b""
        client.connection.refuse(1, b"\x88")
        frames = client.heard()
        assert [one.kind for one in frames] == [HEADERS, FrameType.RST_STREAM]
        assert frames[1].code is ErrorCode.NO_ERROR
        assert client.send(data(1, b"more", END_STREAM)) == []
        client.send(client.call(3))
        assert [one.stream for one in client.requests] == [1, 3]

    def test_fields_that_are_too_long(self) -> None:
        """Only this request is refused; the state of the compression goes on."""
        client = begun()
        long = tuple((f"x-{number}", "y" * 100) for number in range(400))
        block = client.encoder.encode((*FIELDS, *long), huffman=False)
        client.send(
            render_frame(HEADERS, 0, 1, block[:16_000]),
            render_frame(FrameType.CONTINUATION, 0, 1, block[16_000:32_000]),
            render_frame(FrameType.CONTINUATION, END_HEADERS, 1, block[32_000:]),
            client.call(3),
        )
        assert [(one.stream, one.is_too_large) for one in client.requests] == [(1, True), (3, False)]

    def test_incomplete_requests_together_are_limited(self) -> None:
        """The one that grows is refused; no other one."""
        client = begun()
        part, number = b"x" * 16_000, 1
        while not client.requests:
            client.send(client.headers(number), *[data(number, part)] * 15)
            number += 2
        assert client.requests[0].is_too_large
        assert number < 2 * (limits.HELD_BYTES // len(part)) // 15 + 5
        client.send(data(1, b"", END_STREAM))
        assert client.requests[1].stream == 1
        assert len(client.requests[1].body) == 15 * 16_000

    @pytest.mark.parametrize(
        "fields",
        [
            FIELDS[1:],
            (*FIELDS, (":path", "/y")),
            (*FIELDS, (":status", "200")),
            (("x", "y"), *FIELDS),
            (*FIELDS, ("Upper", "case")),
            (*FIELDS, ("connection", "close")),
            (*FIELDS, ("te", "gzip")),
            (*FIELDS, ("x", "new\nline")),
            (*FIELDS, ("x", " space")),
            (*FIELDS, ("", "no name")),
            (*FIELDS, ("content-length", "1")),
            (*FIELDS, ("content-length", "0"), ("content-length", "1")),
            (*FIELDS, ("content-length", "+0")),
        ],
    )
    def test_malformed_ones(self, fields: tuple[tuple[str, str], ...]) -> None:
        """They end their stream, and nothing else (section 8.1.1)."""
        client = begun()
        frames = client.send(client.headers(1, fields, END_HEADERS | END_STREAM))
        assert ended(frames, 1, client) is ErrorCode.PROTOCOL_ERROR
        assert not client.requests
        client.send(client.call(3))
        assert len(client.requests) == 1

    def test_one_that_is_taken_back(self) -> None:
        """With what it was read with, or before its answer: it is not given out, or its answer is dropped."""
        client = begun()
        assert client.send(client.call(1), reset(1)) == []
        assert not client.requests
        client.send(client.call(3))
        assert client.send(reset(3)) == []
        assert client.answer(3) == []

    def test_one_that_is_not_finished(self) -> None:
        """It has a deadline; one that waits for its answer has none here."""
        client = begun()
        client.send(client.call(1), client.headers(3), data(3, b"half"))
        client.connection.expire(limits.REQUEST_SECONDS)
        assert ended(client.heard(), 3, client) is ErrorCode.CANCEL
        assert client.connection.has(1)

    @pytest.mark.parametrize("part", [PREFACE[:0], data(1, b"half")[:12], data(1)[:5]])
    def test_a_frame_that_is_not_finished(self, part: bytes) -> None:
        """It has a deadline, which each frame renews."""
        client = begun()
        client.send(client.headers(1), part)
        client.now = limits.FRAME_SECONDS - 1
        client.send(client.headers(3) if not part else b"")
        client.connection.expire(limits.FRAME_SECONDS)
        assert client.connection.is_over == bool(part)

    def test_a_block_that_is_not_finished(self) -> None:
        """Its frames do not renew its deadline."""
        client = begun()
        client.send(render_frame(HEADERS, 0, 1, b"\x82"))
        client.now = limits.FRAME_SECONDS - 1
        client.send(render_frame(FrameType.CONTINUATION, 0, 1, b"\x86"))
        client.connection.expire(limits.FRAME_SECONDS)
        assert client.connection.is_over


class TestErrors:
    """What ends the connection, and what one stream."""

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (render_frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
            (data(1, b"x"), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05\x82"), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS | PADDED, 1, b""), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS | PRIORITIZED, 1, b"\x82"), ErrorCode.FRAME_SIZE_ERROR),
            (render_frame(HEADERS, END_HEADERS, 1, b"\xff"), ErrorCode.COMPRESSION_ERROR),
            (render_frame(FrameType.PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
            (reset(1), ErrorCode.PROTOCOL_ERROR),
            (reset(0), ErrorCode.PROTOCOL_ERROR),
            (render_frame(FrameType.RST_STREAM, 0, 1, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
            (render_frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
            (render_frame(SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
            (render_frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
            (render_settings({Setting.ENABLE_PUSH: 2}), ErrorCode.PROTOCOL_ERROR),
            (render_settings({Setting.MAX_FRAME_SIZE: 16_383}), ErrorCode.PROTOCOL_ERROR),
            (render_settings({Setting.MAX_FRAME_SIZE: 1 << 24}), ErrorCode.PROTOCOL_ERROR),
            (render_settings({Setting.INITIAL_WINDOW_SIZE: 1 << 31}), ErrorCode.FLOW_CONTROL_ERROR),
            (render_frame(FrameType.PUSH_PROMISE, END_HEADERS, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
            (render_frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
            (render_frame(PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
            (render_frame(FrameType.GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
            (render_frame(FrameType.GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
            (window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
            (window_update(1, 1), ErrorCode.PROTOCOL_ERROR),
            (window_update(0, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
            (render_frame(FrameType.WINDOW_UPDATE, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
            (render_frame(FrameType.CONTINUATION, END_HEADERS, 1, b"\x82"), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, 0, 1, b"\x82") + data(1), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, 0, 1, b"\x82") + render_frame(0xBE, 0, 0), ErrorCode.PROTOCOL_ERROR),  # type: ignore[arg-type]
            (
                render_frame(HEADERS, 0, 1, b"\x82") + render_frame(FrameType.CONTINUATION, 4, 3, b""),
                ErrorCode.PROTOCOL_ERROR,
            ),
            (struct.pack(">IBI", (16_385 << 8), 0, 1), ErrorCode.FRAME_SIZE_ERROR),
        ],
    )
    def test_of_the_connection(self, frame: bytes, code: ErrorCode) -> None:
        """GOAWAY with the error that the standard names; nothing is read after it."""
        client = begun()
        assert failed(client.send(frame), client) is code
        assert client.send(client.call(5)) == []
        assert not client.requests

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (
                render_frame(HEADERS, END_HEADERS | PRIORITIZED, 1, struct.pack(">IB", 1, 0)),
                ErrorCode.PROTOCOL_ERROR,
            ),
            (
                render_frame(HEADERS, END_HEADERS | PRIORITIZED, 5, struct.pack(">IB", 5, 0)),
                ErrorCode.PROTOCOL_ERROR,
            ),
            (render_frame(FrameType.PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
            (window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
            (window_update(1, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
            (data(1, b"after the end"), ErrorCode.STREAM_CLOSED),
            (render_frame(HEADERS, END_HEADERS | END_STREAM, 1, b""), ErrorCode.STREAM_CLOSED),
            (render_frame(HEADERS, END_HEADERS, 3, b""), ErrorCode.PROTOCOL_ERROR),
            (render_frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82"), ErrorCode.PROTOCOL_ERROR),
        ],
    )
    def test_of_a_stream(self, frame: bytes, code: ErrorCode) -> None:
        """RST_STREAM; the connection, and the other streams, go on."""
        client = begun()
        client.send(client.call(1), client.headers(3))
        number = struct.unpack(">I", frame[5:9])[0]
        assert ended(client.send(frame), number, client) is code
        client.send(client.call(7))
        assert client.requests[-1].stream == 7

    def test_frames_of_streams_that_are_closed(self) -> None:
        """Those of a stream that was answered are an error of the stream; those of one that we ended are ignored."""
        client = begun()
        client.send(client.call(1))
        client.answer(1)
        assert ended(client.send(data(1)), 1, client) is ErrorCode.STREAM_CLOSED
        assert client.send(data(1), client.headers(1), window_update(1, 5), reset(1)) == []

    def test_what_is_known_of_our_resets_is_bounded(self) -> None:
        """The oldest are forgotten."""
        client = begun()
        bad = (("x", "y"),)
        for number in range(1, 2 * limits.REMEMBERED_RESETS + 10, 2):
            client.send(client.headers(number, bad))
        assert ended(client.send(data(1)), 1, client) is ErrorCode.STREAM_CLOSED

    def test_too_many_streams(self) -> None:
        """A further one is refused, and may be tried again."""
        client = begun()
        for number in range(limits.STREAMS):
            client.send(client.headers(2 * number + 1))
        number = 2 * limits.STREAMS + 1
        assert ended(client.send(client.headers(number)), number, client) is ErrorCode.REFUSED_STREAM
        client.send(reset(1), client.call(number + 2))
        assert len(client.requests) == 1


class TestFloods:
    """Frames that ask nothing are limited, by the work that they cost."""

    @pytest.mark.parametrize(
        "frame",
        [
            render_frame(PING, 0, 0, bytes(8)),
            render_frame(SETTINGS, 0, 0),
            render_frame(FrameType.PRIORITY, 0, 1, bytes(5)),
            render_frame(0xBE, 0, 0),  # type: ignore[arg-type]
            window_update(0, 1),
            data(1),
            data(1, b"x"),
            data(1, b"\x01\x00", PADDED),
        ],
        ids=["ping", "settings", "priority", "unknown", "window", "empty data", "little data", "padding"],
    )
    def test_frames(self, frame: bytes) -> None:
        """A stock of them is allowed, and more as time passes."""
        client = begun()
        client.send(client.headers(1))
        for _ in range(9):
            client.send(frame * 1000)
            assert not client.connection.is_over
        client.now += 0.5
        client.send(frame * 2000)
        assert not client.connection.is_over
        assert failed(client.send(frame * 10_000), client) is ErrorCode.ENHANCE_YOUR_CALM

    def test_rapid_resets(self) -> None:
        """CVE-2023-44487."""
        client = begun()
        for number in range(1, 30_000, 2):
            frames = client.send(client.call(number), reset(number))
            if client.connection.is_over:
                break
        assert failed(frames, client) is ErrorCode.ENHANCE_YOUR_CALM
        assert not client.requests

    @pytest.mark.parametrize("part", [b"", b"x" * 16_000])
    def test_continuations(self, part: bytes) -> None:
        """CVE-2024-27316: many, or large ones."""
        client = begun()
        frame = render_frame(FrameType.CONTINUATION, 0, 1, part)
        frames = client.send(render_frame(HEADERS, 0, 1, b""), frame * limits.BLOCK_FRAMES)
        assert failed(frames, client) is ErrorCode.ENHANCE_YOUR_CALM

    def test_large_header_blocks(self) -> None:
        """They cost by their size."""
        client = begun()
        block = client.encoder.encode(tuple(("x", "y" * 1000) for _ in range(80)), huffman=False)
        parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        for number in range(1, 2 * limits.STREAMS, 2):
            frames = client.send(
                render_frame(HEADERS, 0, number, parts[0]),
                *(render_frame(FrameType.CONTINUATION, 0, number, one) for one in parts[1:-1]),
                render_frame(FrameType.CONTINUATION, END_HEADERS, number, parts[-1]),
            )
            if client.connection.is_over:
                break
        assert failed(frames, client) is ErrorCode.ENHANCE_YOUR_CALM

    def test_settings_with_many_values(self) -> None:
        """They cost by their size."""
        client = begun()
        frame = render_frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1) * 2000)
        for _ in range(100):
            client.send(frame)
        assert client.connection.is_over


class TestEnd:
    """Each side may end the connection in order."""

    def test_the_peer_leaves(self) -> None:
        """What is open is answered, as its windows allow; then the connection is over."""
        client = begun({Setting.INITIAL_WINDOW_SIZE: 3})
        client.send(client.call(1))
        client.send(goaway())
        assert not client.connection.is_over
        assert [one.payload for one in client.answer(1)][1:] == [b"ans"]
        frames = client.send(window_update(1, 3))
        assert [(one.kind, one.payload) for one in frames[:1]] == [(DATA, b"wer")]
        assert client.connection.is_over

    def test_we_leave(self) -> None:
        """A stream that is opened later is refused."""
        client = begun()
        client.send(client.call(1))
        client.connection.leave()
        client.connection.leave()
        assert [one.kind for one in client.heard()] == [FrameType.GOAWAY]
        assert ended(client.send(client.call(3)), 3, client) is ErrorCode.REFUSED_STREAM
        assert client.answer(1)
        assert client.connection.is_over

    def test_we_leave_while_nothing_is_open(self) -> None:
        """It is over at once, with GOAWAY as its last frame."""
        client = begun()
        client.connection.leave()
        assert failed(client.heard(), client) is ErrorCode.NO_ERROR

    def test_after_an_error_nothing_is_answered(self) -> None:
        """Neither calls nor deadlines do anything."""
        client = begun()
        client.send(client.call(1))
        client.connection.fail(ErrorCode.INTERNAL_ERROR, "why")
        assert client.connection.why == "why"
        client.heard()
        client.connection.fail(ErrorCode.NO_ERROR, "again")
        client.connection.leave()
        client.connection.expire(1e9)
        assert client.answer(1) == []
        assert not client.connection.has_output

    def test_when_it_is_idle(self) -> None:
        """Then no deadline runs."""
        client = Client()
        assert not client.connection.is_idle
        client.begin()
        assert client.connection.is_idle
        client.send(client.call(1))
        assert not client.connection.is_idle
        client.answer(1)
        assert client.connection.is_idle
        client.send(client.headers(3)[:4])
        assert not client.connection.is_idle
